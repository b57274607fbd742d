package org.edgekit.demo.model;

/** One file that an engine can load. */
public final class ArtifactSpec {
    public static final String ONNX = "onnx";
    public static final String NB = "nb";

    /** The artifact's name in the manifest, e.g. {@code onnx} or {@code nb-arm-int8}. */
    public final String kind;

    /** {@link #ONNX} or {@link #NB}. */
    public final String format;

    public final String file;
    public final String sha256;
    public final long sizeBytes;
    public final String precision;
    public final String converter;
    public final String converterVersion;
    public final String inputName;
    public final String outputName;

    /** Allowed error of the self-test over the range of the expected scores; null to compare Top-1 alone. */
    public final Double maxRelativeError;

    ArtifactSpec(Fields fields) throws ModelException {
        kind = fields.text("kind");
        format = fields.text("format");
        file = plainName(fields, "file");
        sha256 = fields.text("sha256");
        sizeBytes = fields.wide("size_bytes");
        precision = fields.text("precision");
        converter = fields.text("converter");
        converterVersion = fields.text("converter_version");
        inputName = fields.text("input_name");
        outputName = fields.text("output_name");
        maxRelativeError = fields.numberOrNull("max_relative_error");
    }

    /** Returns a file name after checking that it stays in the model's own directory. */
    static String plainName(Fields fields, String name) throws ModelException {
        String value = fields.text(name);
        if (value.isEmpty() || value.contains("/") || value.contains("\\") || value.startsWith(".")) {
            throw fields.refuse("\"" + name + "\" is no plain file name: " + value);
        }
        return value;
    }
}
