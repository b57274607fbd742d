package org.edgekit.demo.inference;

import java.util.ArrayList;
import java.util.List;

/** Arithmetic on a network's output. */
final class Scores {
    private Scores() {}

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

    static boolean isFinite(double[] values) {
        for (double value : values) {
            if (Double.isNaN(value) || Double.isInfinite(value)) {
                return false;
            }
        }
        return true;
    }

    static int top(double[] scores) {
        int best = 0;
        for (int index = 1; index < scores.length; index++) {
            if (scores[index] > scores[best]) {
                best = index;
            }
        }
        return best;
    }

    /** The highest classes, best first; of equal scores the lower class first. */
    static List<Prediction> topK(double[] scores, List<String> labels, int count) {
        boolean[] taken = new boolean[scores.length];
        List<Prediction> best = new ArrayList<>();
        while (best.size() < Math.min(count, scores.length)) {
            int next = -1;
            for (int index = 0; index < scores.length; index++) {
                if (!taken[index] && (next < 0 || scores[index] > scores[next])) {
                    next = index;
                }
            }
            taken[next] = true;
            best.add(new Prediction(next, labels.get(next), scores[next]));
        }
        return best;
    }

    /** Largest absolute difference over the range of the expected scores. */
    static double relativeError(double[] found, double[] expected) {
        double lowest = Double.POSITIVE_INFINITY;
        double highest = Double.NEGATIVE_INFINITY;
        double error = 0;
        for (int index = 0; index < expected.length; index++) {
            lowest = Math.min(lowest, expected[index]);
            highest = Math.max(highest, expected[index]);
            error = Math.max(error, Math.abs(found[index] - expected[index]));
        }
        return highest > lowest ? error / (highest - lowest) : (error > 0 ? 1 : 0);
    }
}
