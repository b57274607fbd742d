package org.edgekit.demo.engine;

import java.util.Collections;
import java.util.List;

/** Settings for loading a model. */
public final class SessionRequest {
    /** Stands for a dimension of an output that differs from picture to picture. */
    public static final int ANY = -1;

    /** Names and shapes of the inputs, all of them float32, in the network's order. */
    public final List<String> inputNames;

    public final List<int[]> inputShapes;

    /** Names and shapes of the outputs; {@link #ANY} stands for what the picture decides. */
    public final List<String> outputNames;

    public final List<int[]> outputShapes;

    /** Types of the outputs: float32, int32, int64 or uint8. */
    public final List<String> outputTypes;

    public final int threads;
    public final PowerMode powerMode;

    public SessionRequest(
            List<String> inputNames,
            List<int[]> inputShapes,
            List<String> outputNames,
            List<int[]> outputShapes,
            List<String> outputTypes,
            int threads,
            PowerMode powerMode) {
        this.inputNames = Collections.unmodifiableList(inputNames);
        this.inputShapes = Collections.unmodifiableList(inputShapes);
        this.outputNames = Collections.unmodifiableList(outputNames);
        this.outputShapes = Collections.unmodifiableList(outputShapes);
        this.outputTypes = Collections.unmodifiableList(outputTypes);
        this.threads = threads;
        this.powerMode = powerMode;
    }

    /** Number of values of a shape without free dimensions. */
    public static int length(int[] shape) {
        int product = 1;
        for (int dimension : shape) {
            product *= dimension;
        }
        return product;
    }

    /** True where a tensor's shape is the wanted one; negative dimensions on either side fit any. */
    public static boolean fits(long[] found, int[] wanted) {
        boolean fits = found.length == wanted.length;
        for (int index = 0; fits && index < wanted.length; index++) {
            fits = found[index] < 0 || wanted[index] < 0 || found[index] == wanted[index];
        }
        return fits;
    }
}
