package org.edgekit.demo.model;

/** Rule by which a detector's outputs become boxes, equal to the host's record of the same kind. */
public final class BoxesRule {
    /** True for a model that carries NMS: its rows are class, score and corners. */
    public final boolean isDone;

    /** Distance of neighbouring anchors in input pixels, by level; empty where {@link #isDone}. */
    public final int[] strides;

    /** Number of bins of a side's distribution; bin i stands for i strides of distance. */
    public final int bins;

    /** Of two boxes of a class that overlap more than this (IoU), the better one stays. */
    public final float nmsThreshold;

    public final int nmsTopK;
    public final int keepTopK;

    /** Boxes of an answer have higher scores than this. */
    public final float answerThreshold;

    BoxesRule(Fields fields) throws ModelException {
        String kind = fields.text("kind");
        isDone = kind.equals("boxes");
        answerThreshold = (float) fields.number("answer_threshold");
        if (isDone) {
            strides = new int[0];
            bins = nmsTopK = keepTopK = 0;
            nmsThreshold = 0;
            return;
        }
        if (!kind.equals("picodet")) {
            throw fields.refuse("\"kind\" is \"" + kind + "\"; this app knows picodet and boxes");
        }
        strides = fields.integers("strides");
        bins = fields.integer("bins");
        nmsThreshold = (float) fields.number("nms_threshold");
        nmsTopK = fields.integer("nms_top_k");
        keepTopK = fields.integer("keep_top_k");
        boolean fits = strides.length > 0 && bins > 1 && nmsTopK > 0 && keepTopK > 0;
        for (int stride : strides) {
            fits &= stride > 0;
        }
        if (!fits) {
            throw fields.refuse("strides, bins or limits are not above zero");
        }
    }
}
