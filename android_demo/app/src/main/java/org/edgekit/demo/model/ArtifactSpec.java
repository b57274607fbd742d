package org.edgekit.demo.model;

import java.util.Arrays;
import java.util.List;

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
    /** Height and width of the input that PaddleDetection's models take beside the picture. */
    public static final String IM_SHAPE = "im_shape";

    /** Vertical and horizontal scale of a resize, an input of PaddleDetection's models. */
    public static final String SCALE_FACTOR = "scale_factor";

    /** Names of the inputs in the network's order: the picture's, {@link #IM_SHAPE}, ... */
    public final List<String> inputNames;

    /** Names of the outputs in the order of the model's outputs. */
    public final List<String> outputNames;

    /** Allowed error of the self-test over an output's span; null to compare the answers alone. */
    public final Double maxRelativeError;

    /** Share of the samples' answers that must agree in the self-test, 0 to 1. */
    public final double minAgreement;

    ArtifactSpec(Fields fields, int outputs) throws ModelException {
        kind = fields.text("kind");
        format = fields.text("format");
        file = plainName(fields, "file");
        sha256 = fields.text("sha256");
        sizeBytes = fields.wide("size_bytes");
        precision = fields.text("precision");
        converter = fields.text("converter");
        converterVersion = fields.text("converter_version");
        inputNames = fields.texts("input_names");
        outputNames = fields.texts("output_names");
        minAgreement = fields.number("min_agreement");
        int further = 0;
        for (String name : inputNames) {
            further += isFurther(name) ? 1 : 0;
        }
        if (inputNames.size() - further != 1 || outputNames.size() != outputs) {
            throw fields.refuse(
                    "the inputs " + inputNames + " or the outputs " + outputNames + " do not fit");
        }
        maxRelativeError = fields.numberOrNull("max_relative_error");
    }

    /** True for an input that is no picture. */
    public static boolean isFurther(String input) {
        return Arrays.asList(IM_SHAPE, SCALE_FACTOR).contains(input);
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
