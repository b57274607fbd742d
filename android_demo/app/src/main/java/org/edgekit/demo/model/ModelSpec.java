package org.edgekit.demo.model;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** Description of one model: {@code model.json} of the model's directory in the assets. */
public final class ModelSpec {
    public static final int SCHEMA_VERSION = 2;
    public static final String FILE_NAME = "model.json";

    public static final String CLASSIFICATION = "classification";
    public static final String MULTILABEL = "multilabel";
    public static final String DETECTION = "detection";
    public static final String SEGMENTATION = "segmentation";

    public final String name;
    public final String source;
    public final String edgekitVersion;

    /** Meaning of the outputs: one of the four constants above. */
    public final String task;

    /** Rule of a classifier's answers; null for other tasks. */
    public final ScoresRule scoresRule;

    /** Rule of a detector's boxes; null for other tasks. */
    public final BoxesRule boxesRule;

    public final int numClasses;
    public final String labelsFile;
    public final String labelsSha256;

    /** Names of the classes that are shown instead of the labels; empty where the labels are shown. */
    public final List<String> displayLabels;

    /** True where a classifier ends in softmax or sigmoid; otherwise the app applies softmax once. */
    public final boolean hasActivation;

    /** {@code [1, 3, height, width]}. */
    public final int[] inputShape;

    public final List<OutputSpec> outputs;
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
        task = fields.text("task");
        Fields rule = fields.object("postprocess");
        boolean hasScores = task.equals(CLASSIFICATION) || task.equals(MULTILABEL);
        if (!hasScores && !task.equals(DETECTION) && !task.equals(SEGMENTATION)) {
            throw fields.refuse("\"task\" is \"" + task + "\", which this app does not know");
        }
        scoresRule = hasScores ? new ScoresRule(rule, numClasses) : null;
        boxesRule = task.equals(DETECTION) ? new BoxesRule(rule) : null;
        Fields labels = fields.object("labels");
        labelsFile = ArtifactSpec.plainName(labels, "file");
        labelsSha256 = labels.text("sha256");
        displayLabels =
                fields.hasEntries("display_labels")
                        ? fields.texts("display_labels")
                        : Collections.emptyList();
        hasActivation = readActivation(fields);
        preprocess = new PreprocessSpec(fields.object("preprocess"));
        inputShape = readInputShape(fields.object("input"), preprocess);
        List<OutputSpec> found = new ArrayList<>();
        for (Fields output : fields.objects("outputs")) {
            found.add(new OutputSpec(output));
        }
        outputs = Collections.unmodifiableList(found);
        checkOutputs(fields, hasScores);
        List<ArtifactSpec> files = new ArrayList<>();
        for (Fields artifact : fields.objects("artifacts")) {
            files.add(new ArtifactSpec(artifact, outputs.size()));
        }
        if (files.isEmpty()) {
            throw fields.refuse("no artifact is bundled");
        }
        artifacts = Collections.unmodifiableList(files);
        List<SampleSpec> pictures = new ArrayList<>();
        for (Fields sample : fields.objects("samples")) {
            pictures.add(new SampleSpec(sample, inputLength(), outputs.size()));
        }
        if (pictures.isEmpty()) {
            throw fields.refuse("no sample is bundled, so the model cannot be tested");
        }
        samples = Collections.unmodifiableList(pictures);
        if (!displayLabels.isEmpty() && displayLabels.size() != numClasses) {
            throw fields.refuse(
                    displayLabels.size() + " \"display_labels\" for " + numClasses + " classes");
        }
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

    private void checkOutputs(Fields fields, boolean hasScores) throws ModelException {
        int wanted = boxesRule != null && !boxesRule.isDone ? 2 * boxesRule.strides.length : 1;
        boolean fits = boxesRule != null && boxesRule.isDone
                ? outputs.size() == 1 || outputs.size() == 2
                : outputs.size() == wanted;
        if (fits && hasScores) {
            int length = 1;
            for (int dimension : outputs.get(0).shape) {
                length *= dimension;
            }
            fits = length == numClasses;
        }
        if (!fits) {
            StringBuilder found = new StringBuilder();
            for (OutputSpec output : outputs) {
                found.append(found.length() > 0 ? ", " : "").append(Arrays.toString(output.shape));
            }
            throw fields.refuse(
                    "the outputs " + found + " do not fit " + numClasses + " classes of " + task);
        }
    }

    private static boolean readActivation(Fields fields) throws ModelException {
        String activation = fields.text("output_activation");
        // argmax is that of a segmenter, whose label maps need no more.
        if (!Arrays.asList("softmax", "sigmoid", "argmax", "none").contains(activation)) {
            throw fields.refuse("unknown \"output_activation\": " + activation);
        }
        return !activation.equals("none");
    }

    private static int[] readInputShape(Fields input, PreprocessSpec preprocess) throws ModelException {
        String layout = input.text("layout");
        String dtype = input.text("dtype");
        int[] shape = input.integers("shape");
        if (!layout.equals("NCHW") || !dtype.equals("float32")) {
            throw input.refuse("an input of " + dtype + " " + layout + "; this app feeds float32 NCHW");
        }
        if (!Arrays.equals(shape, new int[] {1, 3, preprocess.height, preprocess.width})) {
            throw input.refuse(
                    "the shape " + Arrays.toString(shape) + " does not fit the preprocessing's "
                            + preprocess.height + "x" + preprocess.width);
        }
        return shape;
    }
}
