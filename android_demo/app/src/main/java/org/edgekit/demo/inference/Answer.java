package org.edgekit.demo.inference;

import java.util.Collections;
import java.util.List;

/** What a model says about one picture. */
public final class Answer {
    /** Classes or boxes, the best first; of a multi-label model in order of class. */
    public final List<Prediction> predictions;

    /** Class of each pixel; null for all but segmentation. */
    public final LabelMap labelMap;

    Answer(List<Prediction> predictions, LabelMap labelMap) {
        this.predictions = Collections.unmodifiableList(predictions);
        this.labelMap = labelMap;
    }
}
