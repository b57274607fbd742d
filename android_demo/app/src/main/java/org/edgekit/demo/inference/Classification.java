package org.edgekit.demo.inference;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.edgekit.demo.engine.EngineException;
import org.edgekit.demo.engine.Output;
import org.edgekit.demo.model.LoadedModel;
import org.edgekit.demo.model.SampleSpec;
import org.edgekit.demo.model.ScoresRule;
import org.edgekit.demo.vision.Frame;

/** Scores of classes of which one is right. */
final class Classification extends Task {
    private static final int TOP = 5;

    private final LoadedModel model;
    private final ScoresRule rule;

    Classification(LoadedModel model) {
        this.model = model;
        rule = model.spec.scoresRule;
    }

    @Override
    Answer answer(List<Output> outputs, Frame frame, LabelMap reused) throws EngineException {
        float[] output = Scores.checked(outputs);
        double[] scores = model.spec.hasActivation ? Scores.widen(output) : Scores.softmax(output);
        if (rule.kind.equals("threshold")) {
            return new Answer(Collections.singletonList(decided(scores)), null);
        }
        int count = rule.topK == null ? TOP : rule.topK;
        List<Prediction> best = new ArrayList<>();
        for (int classId : Scores.top(scores, count)) {
            best.add(prediction(classId, scores[classId]));
        }
        return new Answer(best, null);
    }

    /** The one class that PaddleClas's ThreshOutput answers. */
    private Prediction decided(double[] scores) {
        // As on the host, the score is a float32.
        double threshold = rule.thresholds[0];
        if (scores.length == 2) {
            return scores[1] >= threshold ? prediction(1, scores[1]) : prediction(0, 1 - scores[1]);
        }
        int best = Scores.top(scores, 1)[0];
        int chosen = scores[best] > threshold ? best : rule.defaultClass;
        return prediction(chosen, scores[chosen]);
    }

    private Prediction prediction(int classId, double score) {
        return new Prediction(classId, model.labels.get(classId), score);
    }

    @Override
    Agreement agreement(List<Output> outputs, Frame frame, SampleSpec sample, double tolerance) {
        int found = Scores.top(Scores.widen(outputs.get(0).floats), 1)[0];
        int expected = Scores.top(sample.expectedOutputs.get(0).values, 1)[0];
        return new Agreement(found == expected ? 1 : 0, 1);
    }

    @Override
    String judgedBy() {
        return "top1";
    }
}
