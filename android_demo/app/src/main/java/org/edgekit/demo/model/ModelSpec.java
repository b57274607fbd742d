package org.edgekit.demo.model;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** Description of one model: {@code model.json} of the model's directory in the assets. */
public final class ModelSpec {
    public static final int SCHEMA_VERSION = 1;
    public static final String FILE_NAME = "model.json";

    public final String name;
    public final String source;
    public final String edgekitVersion;
    public final int numClasses;
    public final String labelsFile;
    public final String labelsSha256;

    /** True where the network's last operator is softmax; otherwise the app applies softmax once. */
    public final boolean endsInSoftmax;

    /** {@code [1, 3, height, width]}. */
    public final int[] inputShape;

    public final int[] outputShape;
    public final PreprocessSpec preprocess;
    public final List<ArtifactSpec> artifacts;
    public final List<SampleSpec> samples;

    /** True where nobody trained the network: its answers mean nothing. */
    public boolean hasRandomWeights() {
        return source.startsWith("random (");
    }

    private ModelSpec(Fields fields) throws ModelException {
        int schema = fields.integer("schema_version");
        if (schema != SCHEMA_VERSION) {
            throw fields.refuse(
                    "schema version " + schema + "; this app reads version " + SCHEMA_VERSION);
        }
        name = fields.text("name");
        source = fields.text("source");
        edgekitVersion = fields.text("edgekit_version");
        numClasses = fields.integer("num_classes");
        Fields labels = fields.object("labels");
        labelsFile = ArtifactSpec.plainName(labels, "file");
        labelsSha256 = labels.text("sha256");
        endsInSoftmax = readActivation(fields);
        preprocess = new PreprocessSpec(fields.object("preprocess"));
        inputShape = readInputShape(fields.object("input"), preprocess.cropSize);
        outputShape = fields.object("output").integers("shape");
        if (!Arrays.equals(outputShape, new int[] {1, numClasses})) {
            throw fields.refuse(
                    "the output " + Arrays.toString(outputShape) + " does not fit " + numClasses
                            + " classes");
        }
        List<ArtifactSpec> found = new ArrayList<>();
        for (Fields artifact : fields.objects("artifacts")) {
            found.add(new ArtifactSpec(artifact));
        }
        if (found.isEmpty()) {
            throw fields.refuse("no artifact is bundled");
        }
        artifacts = Collections.unmodifiableList(found);
        List<SampleSpec> pictures = new ArrayList<>();
        for (Fields sample : fields.objects("samples")) {
            pictures.add(new SampleSpec(sample, numClasses, inputLength()));
        }
        if (pictures.isEmpty()) {
            throw fields.refuse("no sample is bundled, so the model cannot be tested");
        }
        samples = Collections.unmodifiableList(pictures);
    }

    /**
     * Reads a {@code model.json}.
     *
     * @param directory name of the model's directory, for messages
     */
    public static ModelSpec parse(String text, String directory) throws ModelException {
        return new ModelSpec(Fields.parse(text, directory + "/" + FILE_NAME));
    }

    public int inputLength() {
        return inputShape[1] * inputShape[2] * inputShape[3];
    }

    private static boolean readActivation(Fields fields) throws ModelException {
        String activation = fields.text("output_activation");
        if (!Arrays.asList("softmax", "sigmoid", "none").contains(activation)) {
            throw fields.refuse("unknown \"output_activation\": " + activation);
        }
        return !activation.equals("none");
    }

    private static int[] readInputShape(Fields input, int cropSize) throws ModelException {
        String layout = input.text("layout");
        String dtype = input.text("dtype");
        int[] shape = input.integers("shape");
        if (!layout.equals("NCHW") || !dtype.equals("float32")) {
            throw input.refuse("an input of " + dtype + " " + layout + "; this app feeds float32 NCHW");
        }
        if (!Arrays.equals(shape, new int[] {1, 3, cropSize, cropSize})) {
            throw input.refuse(
                    "the shape " + Arrays.toString(shape) + " does not fit a crop of " + cropSize);
        }
        return shape;
    }
}
