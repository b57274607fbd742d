package org.edgekit.demo.vision;

import org.edgekit.demo.model.PreprocessSpec;

/** PaddleClas's evaluation transform, equal to the host's to the last byte before normalisation. */
public final class Preprocessor {
    private static final long MAX_RESIZED_PIXELS = 16_000_000L;

    private final PreprocessSpec spec;
    private final Resize resize;
    private final float[][] table = new float[RgbImage.CHANNELS][256];

    public Preprocessor(PreprocessSpec spec) {
        this.spec = spec;
        this.resize = choose(spec);
        for (int plane = 0; plane < RgbImage.CHANNELS; plane++) {
            for (int value = 0; value < 256; value++) {
                // In float32 step by step, as numpy computes it.
                float scaled = value * (float) spec.scale - (float) spec.mean[plane];
                table[plane][value] = scaled / (float) spec.std[plane];
            }
        }
    }

    /** Returns float32[1,3,crop,crop] NCHW, flat, from a picture. */
    public float[] apply(RgbImage picture) throws PictureException {
        int crop = spec.cropSize;
        RgbImage resized = resizeToFit(picture);
        int left = (resized.width - crop) / 2;
        int top = (resized.height - crop) / 2;
        float[] tensor = new float[RgbImage.CHANNELS * crop * crop];
        for (int plane = 0; plane < RgbImage.CHANNELS; plane++) {
            int channel = spec.bgr ? RgbImage.CHANNELS - 1 - plane : plane;
            int place = plane * crop * crop;
            for (int y = 0; y < crop; y++) {
                for (int x = 0; x < crop; x++) {
                    tensor[place++] = table[plane][resized.channel(left + x, top + y, channel)];
                }
            }
        }
        return tensor;
    }

    private RgbImage resizeToFit(RgbImage picture) throws PictureException {
        if (spec.resizeShort == null) {
            return resize.resize(picture, spec.cropSize, spec.cropSize);
        }
        // Math.rint rounds halves to even, as Python's round does.
        double ratio = (double) spec.resizeShort / Math.min(picture.width, picture.height);
        int width = (int) Math.rint(picture.width * ratio);
        int height = (int) Math.rint(picture.height * ratio);
        if ((long) width * height > MAX_RESIZED_PIXELS) {
            throw new PictureException(
                    "The picture of " + picture.width + "x" + picture.height
                            + " pixels is too narrow: its short side cannot become "
                            + spec.resizeShort + " pixels.");
        }
        return resize.resize(picture, width, height);
    }

    private static Resize choose(PreprocessSpec spec) {
        boolean bilinear = spec.interpolation.equals("bilinear");
        if (spec.resizeBackend.equals("opencv")) {
            return new OpenCvResize(
                    bilinear ? OpenCvResize.Interpolation.LINEAR : OpenCvResize.Interpolation.CUBIC);
        }
        return new PillowResize(
                bilinear ? PillowResize.Filter.BILINEAR : PillowResize.Filter.BICUBIC);
    }
}
