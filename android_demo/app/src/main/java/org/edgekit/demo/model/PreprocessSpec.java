package org.edgekit.demo.model;

/** Preprocessing of a picture to float32[1,3,size,size], equal to the record in the host's manifest. */
public final class PreprocessSpec {
    /** Length of the short side after the resize; null resizes both sides to {@link #cropSize}. */
    public final Integer resizeShort;

    public final int cropSize;
    public final String interpolation;
    public final String resizeBackend;
    public final boolean bgr;
    public final double scale;
    public final double[] mean;
    public final double[] std;

    PreprocessSpec(Fields fields) throws ModelException {
        if (fields.hasEntries("steps")) {
            throw fields.refuse("\"steps\": this app resizes the short side and crops a square");
        }
        resizeShort = fields.integerOrNull("resize_short");
        cropSize = fields.integer("crop_size");
        interpolation = oneOf(fields, "interpolation", "bilinear", "bicubic");
        resizeBackend = oneOf(fields, "resize_backend", "opencv", "pillow");
        bgr = oneOf(fields, "channel_order", "rgb", "bgr").equals("bgr");
        scale = fields.number("scale");
        mean = fields.numbers("mean");
        std = fields.numbers("std");
        if (cropSize < 1 || (resizeShort != null && resizeShort < cropSize)) {
            throw fields.refuse("a crop of " + cropSize + " pixels from a short side of " + resizeShort);
        }
        if (mean.length != 3 || std.length != 3) {
            throw fields.refuse("\"mean\" and \"std\" need three numbers each");
        }
        for (double value : std) {
            if (value == 0) {
                throw fields.refuse("\"std\" has a zero");
            }
        }
    }

    private static String oneOf(Fields fields, String name, String first, String second)
            throws ModelException {
        String value = fields.text(name);
        if (!value.equals(first) && !value.equals(second)) {
            throw fields.refuse(
                    "\"" + name + "\" is \"" + value + "\"; this app knows " + first + " and " + second);
        }
        return value;
    }
}
