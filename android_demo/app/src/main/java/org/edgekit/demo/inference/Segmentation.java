package org.edgekit.demo.inference;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.edgekit.demo.engine.EngineException;
import org.edgekit.demo.engine.Output;
import org.edgekit.demo.model.LoadedModel;
import org.edgekit.demo.model.SampleSpec;
import org.edgekit.demo.vision.Frame;

/** A class for each pixel: scores of classes by pixel, or the label map itself. */
final class Segmentation extends Task {
    private static final int MOST_CLASSES = 255;

    /** Longest side of a label map, pixels: no screen shows more. */
    private static final int MOST_SIDE = 1600;

    private final LoadedModel model;

    Segmentation(LoadedModel model) {
        this.model = model;
    }

    @Override
    Answer answer(List<Output> outputs, Frame frame, LabelMap reused) throws EngineException {
        double shrink =
                Math.min(1, (double) MOST_SIDE / Math.max(frame.pictureWidth, frame.pictureHeight));
        int width = Math.max(1, (int) Math.rint(frame.pictureWidth * shrink));
        int height = Math.max(1, (int) Math.rint(frame.pictureHeight * shrink));
        boolean fits = reused != null && reused.width == width && reused.height == height;
        LabelMap map = fits ? reused : new LabelMap(width, height);
        Output output = outputs.get(0);
        if (output.floats != null) {
            enlargeScores(output, map);
        } else {
            enlargeClasses(output, map);
        }
        return new Answer(areas(map), map);
    }

    /** Enlarges the scores bilinearly, as OpenCV does, before the best class is taken. */
    private void enlargeScores(Output output, LabelMap map) throws EngineException {
        if (output.shape.length != 4 || output.shape[0] != 1) {
            throw noLabelMap(output);
        }
        if (!output.isFinite()) {
            throw refuse("The network's answer is not finite");
        }
        int sourceHeight = output.shape[2];
        int sourceWidth = output.shape[3];
        Axis columns = new Axis(sourceWidth, map.width, true);
        Axis rows = new Axis(sourceHeight, map.height, false);
        float[] best = new float[map.width];
        for (int y = 0; y < map.height; y++) {
            Arrays.fill(best, Float.NEGATIVE_INFINITY);
            int upper = Math.max(0, Math.min(rows.first[y], sourceHeight - 1)) * sourceWidth;
            int lower = Math.max(0, Math.min(rows.first[y] + 1, sourceHeight - 1)) * sourceWidth;
            float below = rows.fraction[y];
            float above = 1f - below;
            for (int number = 0; number < Math.min(output.shape[1], MOST_CLASSES); number++) {
                int plane = number * sourceHeight * sourceWidth;
                for (int x = 0; x < map.width; x++) {
                    int here = columns.first[x];
                    int next = Math.min(here + 1, sourceWidth - 1);
                    float right = columns.fraction[x];
                    float left = 1f - right;
                    float over =
                            output.floats[plane + upper + here] * left
                                    + output.floats[plane + upper + next] * right;
                    float under =
                            output.floats[plane + lower + here] * left
                                    + output.floats[plane + lower + next] * right;
                    float score = over * above + under * below;
                    if (score > best[x]) {
                        best[x] = score;
                        map.classes[y * map.width + x] = (byte) number;
                    }
                }
            }
        }
    }

    /** For each index of one axis of the result: the first source index, and the next one's share. */
    private static final class Axis {
        final int[] first;
        final float[] fraction;

        /** Beyond the border OpenCV drops a column's fraction, but blends the border row with itself. */
        Axis(int source, int target, boolean dropFraction) {
            first = new int[target];
            fraction = new float[target];
            double scale = 1.0 / ((double) target / source);
            for (int index = 0; index < target; index++) {
                float exact = (float) ((index + 0.5) * scale - 0.5);
                first[index] = (int) Math.floor(exact);
                fraction[index] = exact - first[index];
                if (dropFraction && (first[index] < 0 || first[index] >= source - 1)) {
                    first[index] = Math.max(0, Math.min(first[index], source - 1));
                    fraction[index] = 0;
                }
            }
        }
    }

    /** Enlarges a label map to the nearest pixel, as OpenCV's INTER_NEAREST does. */
    private void enlargeClasses(Output output, LabelMap map) throws EngineException {
        int rank = output.shape.length;
        if (rank < 3 || rank > 4 || output.shape[0] != 1 || (rank == 4 && output.shape[1] != 1)) {
            throw noLabelMap(output);
        }
        int sourceHeight = output.shape[rank - 2];
        int sourceWidth = output.shape[rank - 1];
        double stepX = 1 / ((double) map.width / sourceWidth);
        double stepY = 1 / ((double) map.height / sourceHeight);
        for (int y = 0; y < map.height; y++) {
            int row = Math.min((int) Math.floor(y * stepY), sourceHeight - 1) * sourceWidth;
            for (int x = 0; x < map.width; x++) {
                int column = Math.min((int) Math.floor(x * stepX), sourceWidth - 1);
                int label = output.integers[row + column];
                if (label < 0 || label >= MOST_CLASSES) {
                    throw refuse("The network's label map has the class " + label);
                }
                map.classes[y * map.width + x] = (byte) label;
            }
        }
    }

    private static EngineException noLabelMap(Output output) {
        return refuse(
                "The network's answer is " + output
                        + ", neither scores [1,C,H,W] nor a label map [1,H,W]");
    }

    /** The classes that occur, the largest area first, with their shares of the pixels. */
    private List<Prediction> areas(LabelMap map) throws EngineException {
        int[] counts = new int[MOST_CLASSES + 1];
        for (byte label : map.classes) {
            counts[label & 0xff]++;
        }
        List<Prediction> areas = new ArrayList<>();
        for (int label = 0; label < counts.length; label++) {
            if (counts[label] > 0 && label >= model.spec.numClasses) {
                throw refuse(
                        "The network answers class " + label + "; the model has "
                                + model.spec.numClasses);
            }
            if (counts[label] > 0) {
                double share = (double) counts[label] / map.classes.length;
                areas.add(new Prediction(label, model.labels.get(label), share));
            }
        }
        areas.sort((a, b) -> Double.compare(b.score, a.score));
        return areas;
    }

    @Override
    Agreement agreement(List<Output> outputs, Frame frame, SampleSpec sample, double tolerance)
            throws EngineException {
        Output output = outputs.get(0);
        int agreeing = 0;
        for (int index = 0; index < sample.expectedPlaces.length; index++) {
            int place = sample.expectedPlaces[index];
            if (classAt(output, place) == sample.expectedClasses[index]) {
                agreeing++;
            }
        }
        return new Agreement(agreeing, sample.expectedPlaces.length);
    }

    /** Class at a place of the network's own label map. */
    private static int classAt(Output output, int place) {
        if (output.integers != null) {
            return output.integers[place];
        }
        int plane = output.floats.length / output.shape[1];
        int best = 0;
        for (int number = 1; number < output.shape[1]; number++) {
            if (output.floats[number * plane + place] > output.floats[best * plane + place]) {
                best = number;
            }
        }
        return best;
    }

    @Override
    String judgedBy() {
        return "pixels";
    }
}
