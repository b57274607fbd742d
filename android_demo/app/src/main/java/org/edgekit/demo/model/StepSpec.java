package org.edgekit.demo.model;

/** One resize or centre crop of a model's preprocessing. */
public final class StepSpec {
    public final boolean isCrop;

    /** Short side after the resize, the aspect kept; 0 where {@link #width} and {@link #height} say. */
    public final int shortSide;

    public final int width;
    public final int height;
    public final boolean isBicubic;

    /** True for Pillow's arithmetic, false for OpenCV's. */
    public final boolean isPillow;

    private StepSpec(
            boolean isCrop, int shortSide, int width, int height, boolean isBicubic, boolean isPillow) {
        this.isCrop = isCrop;
        this.shortSide = shortSide;
        this.width = width;
        this.height = height;
        this.isBicubic = isBicubic;
        this.isPillow = isPillow;
    }

    static StepSpec crop(int width, int height) {
        return new StepSpec(true, 0, width, height, false, false);
    }

    static StepSpec resizeTo(int width, int height, boolean isBicubic, boolean isPillow) {
        return new StepSpec(false, 0, width, height, isBicubic, isPillow);
    }

    static StepSpec resizeShort(int side, boolean isBicubic, boolean isPillow) {
        return new StepSpec(false, side, 0, 0, isBicubic, isPillow);
    }

    static StepSpec read(Fields fields) throws ModelException {
        String step = fields.text("step");
        if (step.equals("crop")) {
            int[] size = size(fields);
            return crop(size[1], size[0]);
        }
        if (!step.equals("resize")) {
            throw fields.refuse("\"step\" is \"" + step + "\"; this app knows resize and crop");
        }
        boolean isBicubic = PreprocessSpec.isSecond(fields, "interpolation", "bilinear", "bicubic");
        boolean isPillow = PreprocessSpec.isSecond(fields, "backend", "opencv", "pillow");
        Integer side = fields.integerOrNull("short");
        if (side != null) {
            if (side < 1) {
                throw fields.refuse("a short side of " + side + " pixels");
            }
            return resizeShort(side, isBicubic, isPillow);
        }
        int[] size = size(fields);
        return resizeTo(size[1], size[0], isBicubic, isPillow);
    }

    private static int[] size(Fields fields) throws ModelException {
        int[] size = fields.integers("size");
        if (size.length != 2 || size[0] < 1 || size[1] < 1) {
            throw fields.refuse("\"size\" is no height and width");
        }
        return size;
    }
}
