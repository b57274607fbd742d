package org.edgekit.demo.model;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** A picture bundled with the model, and the host's outputs and answer for it. */
public final class SampleSpec {
    /** Values of one output on the host. */
    public static final class Expected {
        /** Places in the flat output; empty where {@link #values} holds all of it, or nothing. */
        public final int[] indices;

        public final double[] values;

        /** Largest less smallest value of the whole output. */
        public final double span;

        Expected(Fields fields) throws ModelException {
            indices = fields.integers("indices");
            values = fields.numbers("values");
            span = fields.number("span");
            if (indices.length > 0 && indices.length != values.length) {
                throw fields.refuse(indices.length + " places with " + values.length + " values");
            }
        }
    }

    /** A box of the host's answer, corners in pixels of the sample. */
    public static final class ExpectedBox {
        public final int classId;
        public final double score;
        public final double[] corners;

        ExpectedBox(Fields fields) throws ModelException {
            classId = fields.integer("class_id");
            score = fields.number("score");
            corners = fields.numbers("corners");
            if (corners.length != 4) {
                throw fields.refuse(corners.length + " corners of a box");
            }
        }
    }

    public final String file;
    public final String sha256;
    public final String title;

    /** The picture as the host resized it; null where this app's resize is exact. */
    public final String resizedFile;

    public final String resizedSha256;

    /** Indices in the input tensor, and the values of the host's preprocessing at these. */
    public final int[] probeIndices;

    public final double[] probeValues;
    public final List<Expected> expectedOutputs;
    public final List<ExpectedBox> expectedBoxes;

    /** Places in the flat label map of the network's own size, and the host's classes there. */
    public final int[] expectedPlaces;

    public final int[] expectedClasses;

    SampleSpec(Fields fields, int inputLength, int outputs) throws ModelException {
        file = ArtifactSpec.plainName(fields, "file");
        sha256 = fields.text("sha256");
        title = fields.text("title");
        Fields resized = fields.objectOrNull("resized");
        resizedFile = resized == null ? null : ArtifactSpec.plainName(resized, "file");
        resizedSha256 = resized == null ? null : resized.text("sha256");
        probeIndices = fields.integers("probe_indices");
        probeValues = fields.numbers("probe_values");
        List<Expected> expected = new ArrayList<>();
        for (Fields one : fields.objects("expected_outputs")) {
            expected.add(new Expected(one));
        }
        expectedOutputs = Collections.unmodifiableList(expected);
        List<ExpectedBox> boxes = new ArrayList<>();
        for (Fields box : fields.objects("expected_boxes")) {
            boxes.add(new ExpectedBox(box));
        }
        expectedBoxes = Collections.unmodifiableList(boxes);
        expectedPlaces = fields.integers("expected_places");
        expectedClasses = fields.integers("expected_classes");
        if (expected.size() != outputs || expectedPlaces.length != expectedClasses.length) {
            throw fields.refuse("the expected values of " + expected.size() + " outputs do not fit");
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
