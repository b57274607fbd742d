package org.edgekit.demo.model;

/** A picture bundled with the model, and the model's answer. */
public final class SampleSpec {
    public final String file;
    public final String sha256;
    public final String title;

    /** One score a class, computed by the reference artifact on the host. */
    public final double[] expectedScores;

    /** Indices in the input tensor, and the values of the host's preprocessing at these. */
    public final int[] probeIndices;

    public final double[] probeValues;

    SampleSpec(Fields fields, int numClasses, int inputLength) throws ModelException {
        file = ArtifactSpec.plainName(fields, "file");
        sha256 = fields.text("sha256");
        title = fields.text("title");
        expectedScores = fields.numbers("expected_scores");
        probeIndices = fields.integers("probe_indices");
        probeValues = fields.numbers("probe_values");
        if (expectedScores.length != numClasses) {
            throw fields.refuse(
                    expectedScores.length + " expected scores for " + numClasses + " classes");
        }
        if (probeIndices.length != probeValues.length) {
            throw fields.refuse(probeIndices.length + " probes with " + probeValues.length + " values");
        }
        for (int index : probeIndices) {
            if (index < 0 || index >= inputLength) {
                throw fields.refuse("probe " + index + " lies outside the input of " + inputLength);
            }
        }
    }
}
