package org.edgekit.demo.vision;

/**
 * Pillow's {@code Image.resize} for 8-bit pictures: a separable convolution whose support grows with the
 * reduction, in 22-bit fixed point, rounded to bytes between the two passes
 * (Pillow, src/libImaging/Resample.c: precompute_coeffs, ImagingResampleHorizontal_8bpc).
 */
public final class PillowResize implements Resize {
    private static final int PRECISION_BITS = 32 - 8 - 2;
    private static final int HALF = 1 << (PRECISION_BITS - 1);

    /** The convolution kernels, Pillow's names. */
    public enum Filter {
        BILINEAR(1.0) {
            @Override
            double weight(double x) {
                double distance = Math.abs(x);
                return distance < 1.0 ? 1.0 - distance : 0.0;
            }
        },
        BICUBIC(2.0) {
            @Override
            double weight(double x) {
                double distance = Math.abs(x);
                if (distance < 1.0) {
                    return ((A + 2.0) * distance - (A + 3.0)) * distance * distance + 1;
                }
                if (distance < 2.0) {
                    return (((distance - 5) * distance + 8) * distance - 4) * A;
                }
                return 0.0;
            }
        };

        private static final double A = -0.5;
        private final double support;

        Filter(double support) {
            this.support = support;
        }

        abstract double weight(double x);
    }

    private final Filter filter;

    // Kept for the next picture of the same size.
    private RgbImage wide;
    private RgbImage result;
    private Coefficients columns;
    private Coefficients rows;

    public PillowResize(Filter filter) {
        this.filter = filter;
    }

    @Override
    public RgbImage resize(RgbImage source, int width, int height) {
        // Pillow leaves out the pass of a side that keeps its length.
        RgbImage half = width == source.width ? source : horizontal(source, width);
        return height == source.height ? half : vertical(half, height);
    }

    private RgbImage horizontal(RgbImage source, int width) {
        if (columns == null || !columns.fits(source.width, width)) {
            columns = new Coefficients(filter, source.width, width);
        }
        wide = RgbImage.sized(wide, width, source.height);
        for (int y = 0; y < source.height; y++) {
            for (int x = 0; x < width; x++) {
                convolve(
                        source.bytes,
                        (y * source.width + columns.first[x]) * RgbImage.CHANNELS,
                        RgbImage.CHANNELS,
                        columns.weights[x],
                        wide.bytes,
                        (y * width + x) * RgbImage.CHANNELS);
            }
        }
        return wide;
    }

    private RgbImage vertical(RgbImage source, int height) {
        if (rows == null || !rows.fits(source.height, height)) {
            rows = new Coefficients(filter, source.height, height);
        }
        result = RgbImage.sized(result, source.width, height);
        int stride = source.width * RgbImage.CHANNELS;
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < source.width; x++) {
                convolve(
                        source.bytes,
                        rows.first[y] * stride + x * RgbImage.CHANNELS,
                        stride,
                        rows.weights[y],
                        result.bytes,
                        y * stride + x * RgbImage.CHANNELS);
            }
        }
        return result;
    }

    private static void convolve(
            byte[] source, int offset, int step, int[] weights, byte[] target, int place) {
        int red = HALF;
        int green = HALF;
        int blue = HALF;
        int at = offset;
        for (int weight : weights) {
            red += (source[at] & 0xff) * weight;
            green += (source[at + 1] & 0xff) * weight;
            blue += (source[at + 2] & 0xff) * weight;
            at += step;
        }
        target[place] = clip(red);
        target[place + 1] = clip(green);
        target[place + 2] = clip(blue);
    }

    private static byte clip(int value) {
        int shifted = value >> PRECISION_BITS;
        return (byte) (shifted < 0 ? 0 : Math.min(shifted, 255));
    }

    /** The source pixels of each target pixel, and their weights. */
    private static final class Coefficients {
        final int[] first;
        final int[][] weights;
        private final int sourceLength;

        Coefficients(Filter filter, int sourceLength, int targetLength) {
            this.sourceLength = sourceLength;
            first = new int[targetLength];
            weights = new int[targetLength][];
            double scale = (double) sourceLength / targetLength;
            double filterScale = Math.max(scale, 1.0);
            double support = filter.support * filterScale;
            double inverse = 1.0 / filterScale;
            for (int target = 0; target < targetLength; target++) {
                double center = (target + 0.5) * scale;
                int from = Math.max((int) (center - support + 0.5), 0);
                int to = Math.min((int) (center + support + 0.5), sourceLength);
                first[target] = from;
                weights[target] = fixedPoint(filter, from, to, center, inverse);
            }
        }

        boolean fits(int source, int target) {
            return source == sourceLength && target == first.length;
        }

        private static int[] fixedPoint(Filter filter, int from, int to, double center, double inverse) {
            double[] exact = new double[to - from];
            double sum = 0.0;
            for (int index = 0; index < exact.length; index++) {
                exact[index] = filter.weight((index + from - center + 0.5) * inverse);
                sum += exact[index];
            }
            int[] fixed = new int[exact.length];
            for (int index = 0; index < exact.length; index++) {
                double weight = sum == 0.0 ? exact[index] : exact[index] * (1.0 / sum);
                double rounding = weight < 0 ? -0.5 : 0.5;
                fixed[index] = (int) (rounding + weight * (1 << PRECISION_BITS));
            }
            return fixed;
        }
    }
}
