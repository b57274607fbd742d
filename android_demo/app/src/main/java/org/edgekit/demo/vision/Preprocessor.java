package org.edgekit.demo.vision;

import java.util.ArrayList;
import java.util.List;
import org.edgekit.demo.model.PreprocessSpec;
import org.edgekit.demo.model.StepSpec;

/**
 * A model's resizes and crops, equal to the host's to the last byte, and its normalisation. For one thread:
 * what a method returns is overwritten by the next call.
 */
public final class Preprocessor {
    private static final long MAX_RESIZED_PIXELS = 16_000_000L;

    private final PreprocessSpec spec;
    private final List<Resize> resizes = new ArrayList<>();
    private final float[][] table = new float[RgbImage.CHANNELS][256];
    private float[] tensor = new float[0];
    private RgbImage cropped;

    public Preprocessor(PreprocessSpec spec) {
        this.spec = spec;
        for (StepSpec step : spec.steps) {
            resizes.add(choose(step));
        }
        for (int plane = 0; plane < RgbImage.CHANNELS; plane++) {
            for (int value = 0; value < 256; value++) {
                // In float32 step by step, as numpy computes it.
                float scaled = value * (float) spec.scale - (float) spec.mean[plane];
                table[plane][value] = scaled / (float) spec.std[plane];
            }
        }
    }

    /** Returns float32[1,3,height,width] NCHW, flat, from a picture. */
    public float[] apply(RgbImage picture) throws PictureException {
        return normalise(resizeAndCrop(picture));
    }

    /** Returns the picture in the network's size. */
    RgbImage resizeAndCrop(RgbImage picture) throws PictureException {
        RgbImage image = picture;
        for (int index = 0; index < spec.steps.size(); index++) {
            StepSpec step = spec.steps.get(index);
            if (step.isCrop) {
                image = crop(image, step);
                continue;
            }
            int width = width(step, image.width, image.height);
            int height = height(step, image.width, image.height);
            if ((long) width * height > MAX_RESIZED_PIXELS) {
                throw new PictureException(
                        "The picture of " + picture.width + "x" + picture.height
                                + " pixels is too narrow: its short side cannot become "
                                + step.shortSide + " pixels.");
            }
            image = resizes.get(index).resize(image, width, height);
        }
        return image;
    }

    /** Returns float32[1,3,height,width] NCHW, flat, from a picture in the network's size. */
    public float[] normalise(RgbImage resized) {
        int length = RgbImage.CHANNELS * resized.height * resized.width;
        if (tensor.length != length) {
            tensor = new float[length];
        }
        int place = 0;
        for (int plane = 0; plane < RgbImage.CHANNELS; plane++) {
            int channel = spec.bgr ? RgbImage.CHANNELS - 1 - plane : plane;
            float[] values = table[plane];
            for (int at = channel; at < resized.bytes.length; at += RgbImage.CHANNELS) {
                tensor[place++] = values[resized.bytes[at] & 0xff];
            }
        }
        return tensor;
    }

    /** Returns where a picture of a size lies in the network's input. */
    public Frame frame(int pictureWidth, int pictureHeight) {
        int width = pictureWidth;
        int height = pictureHeight;
        double scaleX = 1;
        double scaleY = 1;
        double offsetX = 0;
        double offsetY = 0;
        for (StepSpec step : spec.steps) {
            if (step.isCrop) {
                offsetX -= Math.floorDiv(width - step.width, 2);
                offsetY -= Math.floorDiv(height - step.height, 2);
                width = step.width;
                height = step.height;
                continue;
            }
            int newWidth = width(step, width, height);
            int newHeight = height(step, width, height);
            double ratioX = (double) newWidth / width;
            double ratioY = (double) newHeight / height;
            scaleX *= ratioX;
            scaleY *= ratioY;
            offsetX *= ratioX;
            offsetY *= ratioY;
            width = newWidth;
            height = newHeight;
        }
        return new Frame(
                pictureWidth, pictureHeight, width, height, scaleX, scaleY, offsetX, offsetY);
    }

    private RgbImage crop(RgbImage image, StepSpec step) throws PictureException {
        if (image.width < step.width || image.height < step.height) {
            throw new PictureException(
                    "The picture of " + image.width + "x" + image.height
                            + " pixels is smaller than the crop of " + step.width + "x" + step.height
                            + ".");
        }
        int left = (image.width - step.width) / 2;
        int top = (image.height - step.height) / 2;
        cropped = RgbImage.sized(cropped, step.width, step.height);
        int stride = step.width * RgbImage.CHANNELS;
        for (int y = 0; y < step.height; y++) {
            int from = ((top + y) * image.width + left) * RgbImage.CHANNELS;
            System.arraycopy(image.bytes, from, cropped.bytes, y * stride, stride);
        }
        return cropped;
    }

    // Math.rint rounds halves to even, as Python's round does.
    private static int width(StepSpec step, int width, int height) {
        return step.shortSide == 0
                ? step.width
                : (int) Math.rint(width * ((double) step.shortSide / Math.min(width, height)));
    }

    private static int height(StepSpec step, int width, int height) {
        return step.shortSide == 0
                ? step.height
                : (int) Math.rint(height * ((double) step.shortSide / Math.min(width, height)));
    }

    private static Resize choose(StepSpec step) {
        if (step.isPillow) {
            return new PillowResize(
                    step.isBicubic ? PillowResize.Filter.BICUBIC : PillowResize.Filter.BILINEAR);
        }
        return new OpenCvResize(
                step.isBicubic ? OpenCvResize.Interpolation.CUBIC : OpenCvResize.Interpolation.LINEAR);
    }
}
