package org.edgekit.demo.model;

/** One output of a network. */
public final class OutputSpec {
    /** A dimension of -1 differs from picture to picture. */
    public final int[] shape;

    /** {@code float32}, {@code int32}, {@code int64} or {@code uint8}. */
    public final String dtype;

    OutputSpec(Fields fields) throws ModelException {
        shape = fields.dimensions("shape");
        dtype = fields.text("dtype");
    }
}
