package org.edgekit.demo.inference;

import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.edgekit.demo.engine.EngineException;
import org.edgekit.demo.engine.Output;
import org.edgekit.demo.model.BoxesRule;
import org.edgekit.demo.model.LoadedModel;
import org.edgekit.demo.model.SampleSpec;
import org.edgekit.demo.vision.Frame;

/** Boxes of objects: PicoDet's raw outputs, or the rows of a model that carries NMS. */
final class Detection extends Task {
    // Boxes of one class that overlap at least this much (IoU) are the same object.
    private static final float SAME_OBJECT = 0.5f;
    private static final Comparator<Box> BEST_FIRST = (a, b) -> Float.compare(b.score, a.score);

    /** A box with its corners x0, y0, x1, y1. */
    private static final class Box {
        final int classId;
        final float score;
        final float[] corners;

        Box(int classId, float score, float[] corners) {
            this.classId = classId;
            this.score = score;
            this.corners = corners;
        }

        float area() {
            return Math.max(corners[2] - corners[0], 0) * Math.max(corners[3] - corners[1], 0);
        }

        /** Intersection over union; 0 of no area. */
        float overlap(Box other) {
            float width =
                    Math.min(corners[2], other.corners[2]) - Math.max(corners[0], other.corners[0]);
            float height =
                    Math.min(corners[3], other.corners[3]) - Math.max(corners[1], other.corners[1]);
            float shared = Math.max(width, 0) * Math.max(height, 0);
            return shared > 0 ? shared / (area() + other.area() - shared) : 0;
        }
    }

    private final LoadedModel model;
    private final BoxesRule rule;

    Detection(LoadedModel model) {
        this.model = model;
        rule = model.spec.boxesRule;
    }

    @Override
    Answer answer(List<Output> outputs, Frame frame, LabelMap reused) throws EngineException {
        List<Prediction> predictions = new ArrayList<>();
        for (Box box : boxes(outputs, frame, rule.answerThreshold)) {
            predictions.add(
                    new Prediction(
                            box.classId, model.labels.get(box.classId), box.score, box.corners));
        }
        return new Answer(predictions, null);
    }

    private List<Box> boxes(List<Output> outputs, Frame frame, float threshold)
            throws EngineException {
        List<Box> found =
                rule.isDone ? rows(outputs, threshold) : decode(outputs, frame, threshold);
        List<Box> inside = new ArrayList<>();
        for (Box box : found) {
            for (int side = 0; side < 4; side++) {
                float most = side % 2 == 0 ? frame.pictureWidth : frame.pictureHeight;
                box.corners[side] = Math.max(0, Math.min(box.corners[side], most));
            }
            if (box.area() > 0) {
                inside.add(box);
            }
        }
        return inside;
    }

    private List<Box> decode(List<Output> outputs, Frame frame, float threshold)
            throws EngineException {
        int levels = rule.strides.length;
        List<Box> boxes = new ArrayList<>();
        for (int level = 0; level < levels; level++) {
            readLevel(
                    outputs.get(level), outputs.get(levels + level), rule.strides[level], frame,
                    threshold, boxes);
        }
        Collections.sort(boxes, BEST_FIRST);
        List<Box> kept = suppress(boxes);
        float[] offset = {(float) frame.offsetX, (float) frame.offsetY};
        float[] scale = {(float) frame.scaleX, (float) frame.scaleY};
        for (Box box : kept) {
            for (int side = 0; side < 4; side++) {
                box.corners[side] = (box.corners[side] - offset[side % 2]) / scale[side % 2];
            }
        }
        return kept;
    }

    /** Adds the boxes of one stride: those of its best anchors whose scores pass. */
    private void readLevel(
            Output scores, Output sides, int stride, Frame frame, float threshold, List<Box> boxes)
            throws EngineException {
        int columns = (frame.inputWidth + stride - 1) / stride;
        int anchors = (frame.inputHeight + stride - 1) / stride * columns;
        int classes = model.spec.numClasses;
        check(scores, anchors, classes);
        check(sides, anchors, 4 * rule.bins);
        List<Integer> passing = new ArrayList<>();
        float[] best = new float[anchors];
        for (int anchor = 0; anchor < anchors; anchor++) {
            for (int classId = 0; classId < classes; classId++) {
                best[anchor] = Math.max(best[anchor], scores.floats[anchor * classes + classId]);
            }
            if (best[anchor] > threshold) {
                passing.add(anchor);
            }
        }
        if (passing.size() > rule.nmsTopK) {
            Collections.sort(passing, (a, b) -> Float.compare(best[b], best[a]));
            passing = new ArrayList<>(passing.subList(0, rule.nmsTopK));
            Collections.sort(passing);
        }
        for (int anchor : passing) {
            float[] corners = null;
            for (int classId = 0; classId < classes; classId++) {
                float score = scores.floats[anchor * classes + classId];
                if (score > threshold) {
                    corners = corners == null ? corners(sides.floats, anchor, columns, stride) : corners;
                    boxes.add(new Box(classId, score, corners.clone()));
                }
            }
        }
    }

    private static void check(Output output, int anchors, int numbers) throws EngineException {
        boolean fits =
                output.floats != null
                        && output.shape.length == 3
                        && output.shape[1] == anchors
                        && output.shape[2] == numbers;
        if (!fits) {
            throw refuse(
                    "An output is " + output + " instead of float32[1, " + anchors + ", " + numbers
                            + "]");
        }
        if (!output.isFinite()) {
            throw refuse("The network's answer is not finite");
        }
    }

    /** Corners in input pixels, from the distributions of an anchor's distances to its four sides. */
    private float[] corners(float[] logits, int anchor, int columns, int stride) {
        float[] sides = new float[4];
        for (int side = 0; side < 4; side++) {
            int from = (anchor * 4 + side) * rule.bins;
            float most = Float.NEGATIVE_INFINITY;
            for (int bin = 0; bin < rule.bins; bin++) {
                most = Math.max(most, logits[from + bin]);
            }
            float sum = 0;
            float weighted = 0;
            for (int bin = 0; bin < rule.bins; bin++) {
                float weight = (float) Math.exp(logits[from + bin] - most);
                sum += weight;
                weighted += weight * bin;
            }
            sides[side] = weighted * (stride / sum);
        }
        float x = (anchor % columns + 0.5f) * stride;
        float y = (anchor / columns + 0.5f) * stride;
        return new float[] {x - sides[0], y - sides[1], x + sides[2], y + sides[3]};
    }

    /** Non-maximum suppression within each class, over boxes with the best score first. */
    private List<Box> suppress(List<Box> boxes) {
        Map<Integer, Integer> seen = new HashMap<>();
        List<Box> kept = new ArrayList<>();
        for (Box box : boxes) {
            int before = seen.containsKey(box.classId) ? seen.get(box.classId) : 0;
            seen.put(box.classId, before + 1);
            if (before < rule.nmsTopK && !isHidden(box, kept)) {
                kept.add(box);
            }
            if (kept.size() == rule.keepTopK) {
                break;
            }
        }
        return kept;
    }

    private boolean isHidden(Box box, List<Box> better) {
        for (Box other : better) {
            if (other.classId == box.classId && other.overlap(box) > rule.nmsThreshold) {
                return true;
            }
        }
        return false;
    }

    /** Rows of class, score and corners in the picture's pixels; rows of class -1 are no boxes. */
    private List<Box> rows(List<Output> outputs, float threshold) throws EngineException {
        Output rows = null;
        Output count = null;
        for (Output output : outputs) {
            if (output.floats != null) {
                rows = output;
            } else {
                count = output;
            }
        }
        int expected = outputs.size() - 1;
        if (rows == null || rows.shape.length != 2 || rows.shape[1] != 6
                || (count != null ? 1 : 0) != expected || (count != null && count.length() != 1)) {
            throw refuse("The outputs are " + outputs + ", not rows of boxes and their count");
        }
        int length = count == null ? rows.shape[0] : count.integers[0];
        if (length < 0 || length > rows.shape[0]) {
            throw refuse("The network counts " + length + " boxes of " + rows.shape[0]);
        }
        List<Box> boxes = new ArrayList<>();
        for (int row = 0; row < length; row++) {
            float[] corners = new float[4];
            System.arraycopy(rows.floats, 6 * row + 2, corners, 0, 4);
            add(boxes, rows.floats[6 * row], rows.floats[6 * row + 1], corners, threshold);
        }
        Collections.sort(boxes, BEST_FIRST);
        return boxes;
    }

    private void add(List<Box> boxes, float classId, float score, float[] corners, float threshold)
            throws EngineException {
        // A sum over everything meets any NaN and infinity.
        float sum = classId + score + corners[0] + corners[1] + corners[2] + corners[3];
        if (Float.isNaN(sum) || Float.isInfinite(sum)) {
            throw refuse("The network's answer is not finite");
        }
        if (classId != (int) classId || classId < -1 || classId >= model.spec.numClasses) {
            throw refuse(
                    "A box is of class " + classId + "; the model has " + model.spec.numClasses);
        }
        if (classId >= 0 && score > threshold) {
            boxes.add(new Box((int) classId, score, corners));
        }
    }

    /** Counts the boxes that one of the two found and the other did not find with the same class. */
    @Override
    Agreement agreement(List<Output> outputs, Frame frame, SampleSpec sample, double tolerance)
            throws EngineException {
        float limit = rule.answerThreshold;
        float low = Math.max(0, (float) (limit - tolerance));
        List<Box> own = boxes(outputs, frame, low);
        List<Box> wanted = new ArrayList<>();
        for (SampleSpec.ExpectedBox box : sample.expectedBoxes) {
            if (box.score > low) {
                float[] corners = new float[4];
                for (int side = 0; side < 4; side++) {
                    corners[side] = (float) box.corners[side];
                }
                wanted.add(new Box(box.classId, (float) box.score, corners));
            }
        }
        int matched = 0;
        int missed = 0;
        for (Box box : own) {
            Box partner = partner(box, wanted);
            if (partner != null) {
                wanted.remove(partner);
                matched++;
            } else if (box.score > limit + tolerance) {
                missed++;
            }
        }
        for (Box box : wanted) {
            missed += box.score > limit + tolerance ? 1 : 0;
        }
        return new Agreement(matched, matched + missed);
    }

    private static Box partner(Box box, List<Box> others) {
        Box best = null;
        for (Box other : others) {
            float overlap = other.classId == box.classId ? box.overlap(other) : 0;
            if (overlap >= SAME_OBJECT && (best == null || overlap > box.overlap(best))) {
                best = other;
            }
        }
        return best;
    }

    @Override
    String judgedBy() {
        return "boxes";
    }
}
