package org.edgekit.demo.model;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** Preprocessing of a picture to float32[1,3,height,width], equal to the record in the host's manifest. */
public final class PreprocessSpec {
    /** Largest difference of a preprocessed value from the host's where resizing is exact. */
    private static final double EXACT = 1e-5;

    /** Resizes and crops in order; the last one makes the network's size. */
    public final List<StepSpec> steps;

    public final int height;
    public final int width;
    public final boolean bgr;
    public final double scale;
    public final double[] mean;
    public final double[] std;

    PreprocessSpec(Fields fields) throws ModelException {
        steps = Collections.unmodifiableList(
                fields.hasEntries("steps") ? readSteps(fields) : usualSteps(fields));
        StepSpec last = steps.get(steps.size() - 1);
        if (last.shortSide > 0) {
            throw fields.refuse("the last step keeps the aspect, so that the size depends on the picture");
        }
        height = last.height;
        width = last.width;
        bgr = isSecond(fields, "channel_order", "rgb", "bgr");
        scale = fields.number("scale");
        mean = fields.numbers("mean");
        std = fields.numbers("std");
        if (mean.length != 3 || std.length != 3) {
            throw fields.refuse("\"mean\" and \"std\" need three numbers each");
        }
        for (double value : std) {
            if (value == 0) {
                throw fields.refuse("\"std\" has a zero");
            }
        }
    }

    /**
     * Returns the largest difference that a preprocessed value may have from the host's. OpenCV's bicubic
     * resize differs by one grey level from CPU to CPU.
     */
    public double tolerance() {
        double tolerance = EXACT;
        for (StepSpec step : steps) {
            if (step.isBicubic && !step.isPillow) {
                for (double value : std) {
                    tolerance = Math.max(tolerance, EXACT + Math.abs(scale / value));
                }
            }
        }
        return tolerance;
    }

    private static List<StepSpec> readSteps(Fields fields) throws ModelException {
        List<StepSpec> steps = new ArrayList<>();
        for (Fields step : fields.objects("steps")) {
            steps.add(StepSpec.read(step));
        }
        return steps;
    }

    /** PaddleClas's usual steps: the short side, then a square from the centre; or a square at once. */
    private static List<StepSpec> usualSteps(Fields fields) throws ModelException {
        Integer shortSide = fields.integerOrNull("resize_short");
        int crop = fields.integer("crop_size");
        boolean isBicubic = isSecond(fields, "interpolation", "bilinear", "bicubic");
        boolean isPillow = isSecond(fields, "resize_backend", "opencv", "pillow");
        if (crop < 1 || (shortSide != null && shortSide < crop)) {
            throw fields.refuse("a crop of " + crop + " pixels from a short side of " + shortSide);
        }
        if (shortSide == null) {
            return Collections.singletonList(StepSpec.resizeTo(crop, crop, isBicubic, isPillow));
        }
        return Arrays.asList(
                StepSpec.resizeShort(shortSide, isBicubic, isPillow), StepSpec.crop(crop, crop));
    }

    /** True for the second of two words, false for the first; anything else is refused. */
    static boolean isSecond(Fields fields, String name, String first, String second)
            throws ModelException {
        String value = fields.text(name);
        if (!value.equals(first) && !value.equals(second)) {
            throw fields.refuse(
                    "\"" + name + "\" is \"" + value + "\"; this app knows " + first + " and " + second);
        }
        return value.equals(second);
    }
}
