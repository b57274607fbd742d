package org.edgekit.demo.vision;

/**
 * OpenCV's {@code cv::resize} for 8-bit pictures in its own fixed-point arithmetic
 * (modules/imgproc/src/resize.cpp: coefficients of 11 bits, the vertical pass of VResizeLinear and
 * VResizeCubic). For exactly half the size by INTER_LINEAR both use INTER_AREA.
 */
public final class OpenCvResize implements Resize {
    private static final int COEFFICIENT_BITS = 11;
    private static final int SCALE = 1 << COEFFICIENT_BITS;
    private static final int VECTOR_LANES = 8;

    /** OpenCV's names: INTER_LINEAR and INTER_CUBIC. */
    public enum Interpolation {
        LINEAR(2),
        CUBIC(4);

        final int taps;

        Interpolation(int taps) {
            this.taps = taps;
        }
    }

    private final Interpolation interpolation;

    // Kept for the next picture of the same size.
    private RgbImage result;
    private Axis columns;
    private Axis rows;
    private RowCache cache;

    public OpenCvResize(Interpolation interpolation) {
        this.interpolation = interpolation;
    }

    @Override
    public RgbImage resize(RgbImage source, int width, int height) {
        if (width == source.width && height == source.height) {
            return source;
        }
        if (interpolation == Interpolation.LINEAR
                && source.width == 2 * width
                && source.height == 2 * height) {
            return halve(source, width, height);
        }
        if (columns == null || !columns.fits(source.width, width)) {
            columns = new Axis(interpolation, source.width, width, true);
            cache = new RowCache(columns, interpolation.taps);
        }
        if (rows == null || !rows.fits(source.height, height)) {
            rows = new Axis(interpolation, source.height, height, false);
        }
        int stride = width * RgbImage.CHANNELS;
        cache.begin(source);
        result = RgbImage.sized(result, width, height);
        int[][] lines = new int[interpolation.taps][];
        for (int y = 0; y < height; y++) {
            for (int tap = 0; tap < lines.length; tap++) {
                lines[tap] = cache.row(clamp(rows.first[y] + tap, source.height));
            }
            if (interpolation == Interpolation.LINEAR) {
                blendLinear(lines, rows.weights[y], result.bytes, y * stride, stride);
            } else {
                blendCubic(lines, rows.weights[y], result.bytes, y * stride, stride);
            }
        }
        return result;
    }

    private RgbImage halve(RgbImage source, int width, int height) {
        result = RgbImage.sized(result, width, height);
        int place = 0;
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width; x++) {
                for (int channel = 0; channel < RgbImage.CHANNELS; channel++) {
                    int sum =
                            source.channel(2 * x, 2 * y, channel)
                                    + source.channel(2 * x + 1, 2 * y, channel)
                                    + source.channel(2 * x, 2 * y + 1, channel)
                                    + source.channel(2 * x + 1, 2 * y + 1, channel);
                    result.bytes[place++] = (byte) ((sum + 2) >> 2);
                }
            }
        }
        return result;
    }

    private static void blendLinear(int[][] lines, int[] weights, byte[] target, int place, int count) {
        int[] upper = lines[0];
        int[] lower = lines[1];
        for (int index = 0; index < count; index++) {
            int value =
                    ((weights[0] * (upper[index] >> 4)) >> 16)
                            + ((weights[1] * (lower[index] >> 4)) >> 16);
            target[place + index] = (byte) ((value + 2) >> 2);
        }
    }

    private static void blendCubic(int[][] lines, int[] weights, byte[] target, int place, int count) {
        // VResizeCubicVec_32s8u: whole vectors in float, the rest by FixedPtCast<int, uchar, 22>.
        float scale = 1.f / (SCALE * SCALE);
        float[] exact = new float[weights.length];
        for (int tap = 0; tap < exact.length; tap++) {
            exact[tap] = weights[tap] * scale;
        }
        int vectors = count - count % VECTOR_LANES;
        for (int index = 0; index < vectors; index++) {
            float value = lines[3][index] * exact[3];
            value = lines[2][index] * exact[2] + value;
            value = lines[1][index] * exact[1] + value;
            value = lines[0][index] * exact[0] + value;
            target[place + index] = (byte) Math.max(0, Math.min((int) Math.rint(value), 255));
        }
        int half = 1 << (2 * COEFFICIENT_BITS - 1);
        for (int index = vectors; index < count; index++) {
            int value = half;
            for (int tap = 0; tap < lines.length; tap++) {
                value += lines[tap][index] * weights[tap];
            }
            int shifted = value >> (2 * COEFFICIENT_BITS);
            target[place + index] = (byte) (shifted < 0 ? 0 : Math.min(shifted, 255));
        }
    }

    private static int clamp(int index, int length) {
        return Math.max(0, Math.min(index, length - 1));
    }

    /** For each index of one axis of the result: the first source index, and the weights from it on. */
    private static final class Axis {
        final int[] first;
        final int[][] weights;
        private final int sourceLength;

        /** Beyond the border OpenCV drops a column's fraction, but blends the border row with itself. */
        Axis(Interpolation interpolation, int sourceLength, int targetLength, boolean dropFraction) {
            this.sourceLength = sourceLength;
            first = new int[targetLength];
            weights = new int[targetLength][];
            double scale = 1.0 / ((double) targetLength / sourceLength);
            for (int target = 0; target < targetLength; target++) {
                float exact = (float) ((target + 0.5) * scale - 0.5);
                int floor = (int) Math.floor(exact);
                float fraction = exact - floor;
                if (interpolation == Interpolation.LINEAR) {
                    if (dropFraction && (floor < 0 || floor >= sourceLength - 1)) {
                        floor = clamp(floor, sourceLength);
                        fraction = 0;
                    }
                    first[target] = floor;
                    weights[target] = fixedPoint(new float[] {1.f - fraction, fraction});
                } else {
                    first[target] = floor - 1;
                    weights[target] = fixedPoint(cubic(fraction));
                }
            }
        }

        boolean fits(int source, int target) {
            return source == sourceLength && target == first.length;
        }

        private static float[] cubic(float x) {
            float a = -0.75f;
            float before = ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a;
            float here = ((a + 2) * x - (a + 3)) * x * x + 1;
            float next = ((a + 2) * (1 - x) - (a + 3)) * (1 - x) * (1 - x) + 1;
            return new float[] {before, here, next, 1.f - before - here - next};
        }

        private static int[] fixedPoint(float[] exact) {
            int[] fixed = new int[exact.length];
            for (int index = 0; index < exact.length; index++) {
                fixed[index] = (int) Math.rint(exact[index] * SCALE);
            }
            return fixed;
        }
    }

    /** Rows of the source after the horizontal pass, each computed once as the rows go by. */
    private static final class RowCache {
        private final Axis columns;
        private final int taps;
        private final int[][] rows;
        private final int[] held;
        private RgbImage source;

        RowCache(Axis columns, int taps) {
            this.columns = columns;
            this.taps = taps;
            rows = new int[taps][columns.first.length * RgbImage.CHANNELS];
            held = new int[taps];
        }

        void begin(RgbImage picture) {
            source = picture;
            java.util.Arrays.fill(held, -1);
        }

        int[] row(int y) {
            // Neighbouring rows never share a slot: a window of `taps` rows has distinct remainders.
            int slot = y % taps;
            if (held[slot] != y) {
                compute(y, rows[slot]);
                held[slot] = y;
            }
            return rows[slot];
        }

        private void compute(int y, int[] target) {
            int line = y * source.width * RgbImage.CHANNELS;
            int place = 0;
            for (int x = 0; x < columns.first.length; x++) {
                int[] weights = columns.weights[x];
                int red = 0;
                int green = 0;
                int blue = 0;
                for (int tap = 0; tap < taps; tap++) {
                    int at = line + clamp(columns.first[x] + tap, source.width) * RgbImage.CHANNELS;
                    red += (source.bytes[at] & 0xff) * weights[tap];
                    green += (source.bytes[at + 1] & 0xff) * weights[tap];
                    blue += (source.bytes[at + 2] & 0xff) * weights[tap];
                }
                target[place++] = red;
                target[place++] = green;
                target[place++] = blue;
            }
        }
    }
}
