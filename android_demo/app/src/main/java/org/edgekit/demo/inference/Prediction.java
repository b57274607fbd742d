package org.edgekit.demo.inference;

/** One part of an answer: a class with its score, with its box, or with its area. */
public final class Prediction {
    public final int classId;
    public final String label;

    /** Probability, score of a box, or share of the picture's pixels, 0 to 1. */
    public final double score;

    /** Left, top, right, bottom in pixels of the picture; null where the answer is no box. */
    public final float[] corners;

    Prediction(int classId, String label, double score) {
        this(classId, label, score, null);
    }

    Prediction(int classId, String label, double score, float[] corners) {
        this.classId = classId;
        this.label = label;
        this.score = score;
        this.corners = corners;
    }
}
