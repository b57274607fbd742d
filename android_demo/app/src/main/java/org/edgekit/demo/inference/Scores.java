package org.edgekit.demo.inference;

import java.util.List;
import org.edgekit.demo.engine.EngineException;
import org.edgekit.demo.engine.Output;

/** Arithmetic on a classifier's output. */
final class Scores {
    private Scores() {}

    /** The one output's scores, all of them finite. */
    static float[] checked(List<Output> outputs) throws EngineException {
        Output output = outputs.get(0);
        if (output.floats == null) {
            throw Task.refuse("The network's answer is " + output + ", not scores");
        }
        if (!output.isFinite()) {
            throw Task.refuse("The network's answer is not finite");
        }
        return output.floats;
    }

    /** Softmax over all classes, shifted by the largest so that nothing overflows. */
    static double[] softmax(float[] logits) {
        double largest = Double.NEGATIVE_INFINITY;
        for (float value : logits) {
            largest = Math.max(largest, value);
        }
        double sum = 0;
        double[] scores = new double[logits.length];
        for (int index = 0; index < scores.length; index++) {
            scores[index] = Math.exp(logits[index] - largest);
            sum += scores[index];
        }
        for (int index = 0; index < scores.length; index++) {
            scores[index] /= sum;
        }
        return scores;
    }

    static double[] widen(float[] values) {
        double[] wide = new double[values.length];
        for (int index = 0; index < wide.length; index++) {
            wide[index] = values[index];
        }
        return wide;
    }

    /** Places of the highest scores, best first; of equal scores the lower place first. */
    static int[] top(double[] scores, int count) {
        boolean[] taken = new boolean[scores.length];
        int[] best = new int[Math.min(count, scores.length)];
        for (int rank = 0; rank < best.length; rank++) {
            int next = -1;
            for (int index = 0; index < scores.length; index++) {
                if (!taken[index] && (next < 0 || scores[index] > scores[next])) {
                    next = index;
                }
            }
            taken[next] = true;
            best[rank] = next;
        }
        return best;
    }
}
