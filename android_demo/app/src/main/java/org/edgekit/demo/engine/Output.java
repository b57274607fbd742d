package org.edgekit.demo.engine;

import java.util.Arrays;

/** One output of a network after an inference: floats, or whole numbers. */
public final class Output {
    public final int[] shape;

    /** Values in the order of the shape; null for whole numbers. */
    public final float[] floats;

    /** Values in the order of the shape; null for floats. */
    public final int[] integers;

    private Output(int[] shape, float[] floats, int[] integers) {
        this.shape = shape;
        this.floats = floats;
        this.integers = integers;
    }

    public static Output of(int[] shape, float[] floats) {
        return new Output(shape, floats, null);
    }

    public static Output of(int[] shape, int[] integers) {
        return new Output(shape, null, integers);
    }

    public int length() {
        return floats == null ? integers.length : floats.length;
    }

    public double value(int index) {
        return floats == null ? integers[index] : floats[index];
    }

    public boolean isFinite() {
        if (floats != null) {
            for (float value : floats) {
                if (Float.isNaN(value) || Float.isInfinite(value)) {
                    return false;
                }
            }
        }
        return true;
    }

    public boolean equalsValues(Output other) {
        return Arrays.equals(floats, other.floats) && Arrays.equals(integers, other.integers);
    }

    /** The type and the shape for messages, e.g. {@code float32[1, 24, 3]}. */
    @Override
    public String toString() {
        return (floats == null ? "integers" : "float32") + Arrays.toString(shape);
    }
}
