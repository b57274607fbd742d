package org.edgekit.demo.inference;

import android.graphics.Bitmap;
import java.util.List;
import org.edgekit.demo.engine.EngineException;
import org.edgekit.demo.engine.Output;
import org.edgekit.demo.model.ArtifactSpec;
import org.edgekit.demo.model.ModelException;
import org.edgekit.demo.model.ModelStore;
import org.edgekit.demo.model.SampleSpec;
import org.edgekit.demo.vision.Frame;
import org.edgekit.demo.vision.PictureException;
import org.edgekit.demo.vision.PictureReader;

/** Runs the bundled samples and compares the results with the host's results from bundling. */
public final class SelfTest {
    public final int samples;
    public final double inputError;
    public final double relativeError;

    /** Share of the answers that are the host's, 0 to 1; {@link #judgedBy} says what is counted. */
    public final double agreement;

    /** What {@link #agreement} counts: {@code top1}, {@code threshold}, {@code boxes}, {@code pixels}. */
    public final String judgedBy;

    /** True where the answers to different samples differ, or where there is one sample. */
    public final boolean outputsDiffer;

    private SelfTest(
            int samples,
            double inputError,
            double relativeError,
            double agreement,
            String judgedBy,
            boolean outputsDiffer) {
        this.judgedBy = judgedBy;
        this.outputsDiffer = outputsDiffer;
        this.samples = samples;
        this.inputError = inputError;
        this.relativeError = relativeError;
        this.agreement = agreement;
    }

    /**
     * Tests a loaded predictor.
     *
     * @throws ModelException a sample is damaged, or the answers are not the expected ones
     */
    public static SelfTest run(Predictor predictor, ModelStore store)
            throws ModelException, EngineException {
        String name = predictor.configuration.model.directory;
        ArtifactSpec artifact = predictor.configuration.artifact;
        double tolerance = artifact.maxRelativeError == null ? 0 : artifact.maxRelativeError;
        List<SampleSpec> samples = predictor.configuration.model.spec.samples;
        double inputError = 0;
        double relativeError = 0;
        double agreeing = 0;
        int all = 0;
        List<Output> first = null;
        boolean differ = samples.size() == 1;
        for (SampleSpec sample : samples) {
            Bitmap picture = decode(name, sample.file, store.sample(name, sample));
            Frame frame = predictor.frame(picture);
            float[] input = preprocess(predictor, name, sample, picture);
            inputError = Math.max(inputError, probeError(input, sample));
            byte[] resized = store.resizedSample(name, sample);
            if (resized != null) {
                input = normalise(predictor, decode(name, sample.resizedFile, resized));
            }
            List<Output> found = predictor.infer(input, frame);
            for (int index = 0; index < found.size(); index++) {
                if (!found.get(index).isFinite()) {
                    throw new ModelException(
                            name + ": the network's answer to " + sample.title + " is not finite");
                }
                relativeError =
                        Math.max(
                                relativeError,
                                relativeError(found.get(index), sample.expectedOutputs.get(index)));
            }
            first = first == null ? found : first;
            differ |= differ(first, found);
            Task.Agreement agreement =
                    predictor.task().agreement(found, frame, sample, tolerance);
            agreeing += agreement.agreeing;
            all += agreement.all;
        }
        SelfTest result =
                new SelfTest(
                        samples.size(),
                        inputError,
                        relativeError,
                        all == 0 ? 1 : agreeing / all,
                        predictor.task().judgedBy(),
                        differ);
        result.judge(name, predictor.configuration);
        return result;
    }

    private void judge(String name, Configuration configuration) throws ModelException {
        if (inputError > configuration.model.spec.preprocess.tolerance()) {
            throw new ModelException(
                    name + ": a sample's preprocessed values differ by " + inputError
                            + " from the host's");
        }
        Double maxRelativeError = configuration.artifact.maxRelativeError;
        if (maxRelativeError != null && relativeError > maxRelativeError) {
            throw new ModelException(
                    name + ": the self-test's outputs differ by " + relativeError
                            + " of their range from the host's; " + maxRelativeError + " is allowed");
        }
        if (!outputsDiffer) {
            throw new ModelException(name + ": the network gives one answer to all samples");
        }
        if (agreement < configuration.artifact.minAgreement) {
            throw new ModelException(
                    name + ": the self-test's answers (" + judgedBy + ") are the host's to "
                            + Math.round(100 * agreement) + " %; "
                            + Math.round(100 * configuration.artifact.minAgreement) + " % are needed");
        }
    }

    private static boolean differ(List<Output> first, List<Output> second) {
        for (int index = 0; index < first.size(); index++) {
            if (!first.get(index).equalsValues(second.get(index))) {
                return true;
            }
        }
        return false;
    }

    /** Largest absolute difference from the expected values over the span of the whole output. */
    private static double relativeError(Output found, SampleSpec.Expected expected)
            throws ModelException {
        double error = 0;
        for (int index = 0; index < expected.values.length; index++) {
            int place = expected.indices.length == 0 ? index : expected.indices[index];
            if (place < 0 || place >= found.length()) {
                throw new ModelException(
                        "An output has " + found.length() + " values; model.json names place " + place);
            }
            error = Math.max(error, Math.abs(found.value(place) - expected.values[index]));
        }
        return error == 0 ? 0 : expected.span > 0 ? error / expected.span : 1;
    }

    private static Bitmap decode(String name, String file, byte[] encoded) throws ModelException {
        try {
            return PictureReader.decode(encoded);
        } catch (PictureException error) {
            throw new ModelException(name + "/" + file + ": " + error.getMessage(), error);
        }
    }

    private static float[] preprocess(
            Predictor predictor, String name, SampleSpec sample, Bitmap picture)
            throws ModelException {
        try {
            return predictor.preprocess(picture);
        } catch (PictureException error) {
            throw new ModelException(name + "/" + sample.file + ": " + error.getMessage(), error);
        }
    }

    private static float[] normalise(Predictor predictor, Bitmap resized) throws ModelException {
        try {
            return predictor.normalise(resized);
        } catch (PictureException error) {
            throw new ModelException(error.getMessage(), error);
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
