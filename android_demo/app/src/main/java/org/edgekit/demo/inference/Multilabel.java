package org.edgekit.demo.inference;

import java.util.ArrayList;
import java.util.List;
import org.edgekit.demo.engine.EngineException;
import org.edgekit.demo.engine.Output;
import org.edgekit.demo.model.LoadedModel;
import org.edgekit.demo.model.SampleSpec;
import org.edgekit.demo.vision.Frame;

/** Scores of classes that are right or not independently of each other: all that reach their thresholds. */
final class Multilabel extends Task {
    private final LoadedModel model;

    Multilabel(LoadedModel model) {
        this.model = model;
    }

    @Override
    Answer answer(List<Output> outputs, Frame frame, LabelMap reused) throws EngineException {
        float[] scores = Scores.checked(outputs);
        List<Prediction> passing = new ArrayList<>();
        for (int classId = 0; classId < scores.length; classId++) {
            if (scores[classId] >= threshold(classId)) {
                passing.add(new Prediction(classId, model.labels.get(classId), scores[classId]));
            }
        }
        return new Answer(passing, null);
    }

    private float threshold(int classId) {
        double[] thresholds = model.spec.scoresRule.thresholds;
        return (float) thresholds[thresholds.length == 1 ? 0 : classId];
    }

    @Override
    Agreement agreement(List<Output> outputs, Frame frame, SampleSpec sample, double tolerance) {
        float[] scores = outputs.get(0).floats;
        SampleSpec.Expected expected = sample.expectedOutputs.get(0);
        for (int classId = 0; classId < scores.length; classId++) {
            float limit = threshold(classId);
            double wanted = expected.values[classId];
            boolean isClose = Math.abs(wanted - limit) < tolerance * expected.span;
            if (!isClose && (scores[classId] >= limit) != (wanted >= limit)) {
                return new Agreement(0, 1);
            }
        }
        return new Agreement(1, 1);
    }

    @Override
    String judgedBy() {
        return "threshold";
    }
}
