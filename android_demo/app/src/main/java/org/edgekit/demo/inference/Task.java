package org.edgekit.demo.inference;

import java.util.List;
import org.edgekit.demo.engine.EngineException;
import org.edgekit.demo.engine.Output;
import org.edgekit.demo.model.LoadedModel;
import org.edgekit.demo.model.ModelSpec;
import org.edgekit.demo.model.SampleSpec;
import org.edgekit.demo.vision.Frame;

/** Meaning of a network's outputs, equal to the host's task of the same name; one class a task. */
abstract class Task {
    /** How many parts of an answer agree with the host's, of how many. */
    static final class Agreement {
        final double agreeing;
        final int all;

        Agreement(double agreeing, int all) {
            this.agreeing = agreeing;
            this.all = all;
        }
    }

    static Task of(LoadedModel model) {
        switch (model.spec.task) {
            case ModelSpec.MULTILABEL:
                return new Multilabel(model);
            case ModelSpec.DETECTION:
                return new Detection(model);
            case ModelSpec.SEGMENTATION:
                return new Segmentation(model);
            default:
                return new Classification(model);
        }
    }

    /**
     * Returns the answer for one picture.
     *
     * @param reused a label map that the answer may take and overwrite; or null
     * @throws EngineException the outputs are not this task's, or not finite
     */
    abstract Answer answer(List<Output> outputs, Frame frame, LabelMap reused) throws EngineException;

    /**
     * Compares the answer with the host's.
     *
     * @param tolerance error relative to an output's span that may turn an answer
     */
    abstract Agreement agreement(
            List<Output> outputs, Frame frame, SampleSpec sample, double tolerance)
            throws EngineException;

    /** The host's name of what {@link #agreement} counts. */
    abstract String judgedBy();

    static EngineException refuse(String message) {
        return EngineException.failed(message, null);
    }
}
