package org.edgekit.demo.inference;

import android.graphics.Bitmap;
import java.util.Arrays;
import java.util.List;
import org.edgekit.demo.engine.EngineException;
import org.edgekit.demo.model.ModelException;
import org.edgekit.demo.model.ModelStore;
import org.edgekit.demo.model.SampleSpec;
import org.edgekit.demo.vision.PictureException;
import org.edgekit.demo.vision.PictureReader;

/** Runs the bundled samples and compares the results with the host's results from bundling. */
public final class SelfTest {
    /** Largest difference of a preprocessed value from the host's. */
    public static final double MAX_INPUT_ERROR = 1e-5;

    public final int samples;
    public final double inputError;
    public final double relativeError;

    /** Share of the samples whose best class is the expected one, 0 to 1. */
    public final double top1Agreement;

    /** True where the answers to different samples differ, or where there is one sample. */
    public final boolean outputsDiffer;

    private SelfTest(
            int samples,
            double inputError,
            double relativeError,
            double top1Agreement,
            boolean outputsDiffer) {
        this.outputsDiffer = outputsDiffer;
        this.samples = samples;
        this.inputError = inputError;
        this.relativeError = relativeError;
        this.top1Agreement = top1Agreement;
    }

    /**
     * Tests a loaded classifier.
     *
     * @throws ModelException a sample is damaged, or the answers are not the expected ones
     */
    public static SelfTest run(Classifier classifier, ModelStore store)
            throws ModelException, EngineException {
        String name = classifier.configuration.model.directory;
        List<SampleSpec> samples = classifier.configuration.model.spec.samples;
        double inputError = 0;
        double relativeError = 0;
        int agreeing = 0;
        double[] first = null;
        boolean differ = samples.size() == 1;
        for (SampleSpec sample : samples) {
            float[] input = input(classifier, store, name, sample);
            inputError = Math.max(inputError, probeError(input, sample));
            double[] found = classifier.infer(input);
            if (!Scores.isFinite(found)) {
                throw new ModelException(
                        name + ": the network's answer to " + sample.title + " is not finite");
            }
            first = first == null ? found : first;
            differ |= !Arrays.equals(first, found);
            relativeError = Math.max(relativeError, Scores.relativeError(found, sample.expectedScores));
            agreeing += Scores.top(found) == Scores.top(sample.expectedScores) ? 1 : 0;
        }
        SelfTest result =
                new SelfTest(
                        samples.size(),
                        inputError,
                        relativeError,
                        (double) agreeing / samples.size(),
                        differ);
        result.judge(name, classifier.configuration.artifact.maxRelativeError);
        return result;
    }

    private void judge(String name, Double maxRelativeError) throws ModelException {
        if (inputError > MAX_INPUT_ERROR) {
            throw new ModelException(
                    name + ": a sample's preprocessed values differ by " + inputError
                            + " from the host's");
        }
        if (maxRelativeError != null && relativeError > maxRelativeError) {
            throw new ModelException(
                    name + ": the self-test's scores differ by " + relativeError
                            + " of their range from the host's; " + maxRelativeError + " is allowed");
        }
        if (!outputsDiffer) {
            throw new ModelException(name + ": the network gives one answer to all samples");
        }
        if (top1Agreement < 1) {
            throw new ModelException(
                    name + ": the self-test gives other classes than the host on "
                            + Math.round((1 - top1Agreement) * samples) + " of " + samples + " samples");
        }
    }

    private static float[] input(
            Classifier classifier, ModelStore store, String name, SampleSpec sample)
            throws ModelException {
        try {
            Bitmap bitmap = PictureReader.decode(store.sample(name, sample));
            return classifier.preprocess(bitmap);
        } catch (PictureException error) {
            throw new ModelException(name + "/" + sample.file + ": " + error.getMessage(), error);
        }
    }

    private static double probeError(float[] input, SampleSpec sample) {
        double error = 0;
        for (int index = 0; index < sample.probeIndices.length; index++) {
            double found = input[sample.probeIndices[index]];
            error = Math.max(error, Math.abs(found - sample.probeValues[index]));
        }
        return error;
    }
}
