package org.edgekit.demo.engine;

/** Settings for loading a model. */
public final class SessionRequest {
    public final String inputName;
    public final String outputName;
    public final int[] inputShape;
    public final int[] outputShape;
    public final int threads;
    public final PowerMode powerMode;

    public SessionRequest(
            String inputName,
            String outputName,
            int[] inputShape,
            int[] outputShape,
            int threads,
            PowerMode powerMode) {
        this.inputName = inputName;
        this.outputName = outputName;
        this.inputShape = inputShape.clone();
        this.outputShape = outputShape.clone();
        this.threads = threads;
        this.powerMode = powerMode;
    }

    public int inputLength() {
        return product(inputShape);
    }

    public int outputLength() {
        return product(outputShape);
    }

    private static int product(int[] shape) {
        int product = 1;
        for (int dimension : shape) {
            product *= dimension;
        }
        return product;
    }
}
