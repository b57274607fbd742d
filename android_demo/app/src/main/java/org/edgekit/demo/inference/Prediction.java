package org.edgekit.demo.inference;

/** One class of an answer. */
public final class Prediction {
    public final int classId;
    public final String label;

    /** Probability, 0 to 1. */
    public final double score;

    Prediction(int classId, String label, double score) {
        this.classId = classId;
        this.label = label;
        this.score = score;
    }
}
