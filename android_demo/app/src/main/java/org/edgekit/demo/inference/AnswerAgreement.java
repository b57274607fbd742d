package org.edgekit.demo.inference;

import java.util.ArrayList;
import java.util.List;

/** How much of one answer to a picture another answer repeats. */
public final class AnswerAgreement {
    private static final float SAME_OBJECT = 0.5f;

    private AnswerAgreement() {}

    /**
     * Returns a share, 0 to 1: of a label map that of equal pixels; of boxes twice the number of those found in
     * both over the number of all; of classes that of classes in both over those in either, where a model of
     * one class is judged by its best.
     *
     * @param oneClass true for a model that answers one class
     */
    public static double share(Answer reference, Answer other, boolean oneClass) {
        if (reference.labelMap != null) {
            return equalPixels(reference.labelMap.classes, other.labelMap.classes);
        }
        List<Prediction> wanted = reference.predictions;
        List<Prediction> found = other.predictions;
        if (oneClass) {
            return wanted.get(0).classId == found.get(0).classId ? 1 : 0;
        }
        if (wanted.isEmpty() && found.isEmpty()) {
            return 1;
        }
        List<Prediction> left = new ArrayList<>(wanted);
        int shared = 0;
        for (Prediction one : found) {
            Prediction partner = partner(one, left);
            if (partner != null) {
                left.remove(partner);
                shared++;
            }
        }
        boolean hasBoxes = (wanted.isEmpty() ? found : wanted).get(0).corners != null;
        int all = wanted.size() + found.size();
        return hasBoxes ? 2.0 * shared / all : (double) shared / (all - shared);
    }

    private static Prediction partner(Prediction one, List<Prediction> others) {
        for (Prediction other : others) {
            boolean isSamePlace =
                    one.corners == null || overlap(one.corners, other.corners) >= SAME_OBJECT;
            if (one.classId == other.classId && isSamePlace) {
                return other;
            }
        }
        return null;
    }

    /** Intersection over union of two boxes (left, top, right, bottom). */
    private static float overlap(float[] a, float[] b) {
        float width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
        float height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
        float shared = Math.max(width, 0) * Math.max(height, 0);
        return shared > 0 ? shared / (area(a) + area(b) - shared) : 0;
    }

    private static float area(float[] box) {
        return (box[2] - box[0]) * (box[3] - box[1]);
    }

    private static double equalPixels(byte[] wanted, byte[] found) {
        int equal = 0;
        for (int place = 0; place < wanted.length; place++) {
            equal += wanted[place] == found[place] ? 1 : 0;
        }
        return (double) equal / wanted.length;
    }
}
