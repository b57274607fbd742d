package org.edgekit.demo.inference;

import android.graphics.Bitmap;
import android.os.SystemClock;
import java.io.File;
import java.util.ArrayList;
import java.util.List;
import org.edgekit.demo.engine.EngineException;
import org.edgekit.demo.engine.Output;
import org.edgekit.demo.engine.Session;
import org.edgekit.demo.engine.SessionRequest;
import org.edgekit.demo.model.ArtifactSpec;
import org.edgekit.demo.model.LoadedModel;
import org.edgekit.demo.model.ModelException;
import org.edgekit.demo.model.ModelSpec;
import org.edgekit.demo.model.ModelStore;
import org.edgekit.demo.model.OutputSpec;
import org.edgekit.demo.vision.Frame;
import org.edgekit.demo.vision.PictureException;
import org.edgekit.demo.vision.PictureReader;
import org.edgekit.demo.vision.Preprocessor;
import org.edgekit.demo.vision.RgbImage;

/** A loaded model that answers pictures. Used by one thread at a time, never by the main thread. */
public final class Predictor implements AutoCloseable {
    public final Configuration configuration;
    public final long loadNs;

    private final Session session;
    private final Preprocessor preprocessor;
    private final Task task;
    private long lastRunNs;

    private Predictor(Configuration configuration, Session session, long loadNs) {
        this.configuration = configuration;
        this.session = session;
        this.loadNs = loadNs;
        preprocessor = new Preprocessor(configuration.model.spec.preprocess);
        task = Task.of(configuration.model);
    }

    /** Loads a model in a configuration; its file's hash and the network's tensors are checked. */
    public static Predictor open(Configuration configuration, ModelStore store)
            throws ModelException, EngineException {
        LoadedModel model = configuration.model;
        ArtifactSpec artifact = configuration.artifact;
        refuseImpossible(configuration);
        List<String> hashes = new ArrayList<>();
        for (ArtifactSpec other : model.spec.artifacts) {
            hashes.add(other.sha256);
        }
        File file = store.artifact(model.directory, artifact, hashes);
        long started = SystemClock.elapsedRealtimeNanos();
        Session session = configuration.engine.open(file, request(configuration));
        return new Predictor(
                configuration, session, SystemClock.elapsedRealtimeNanos() - started);
    }

    private static SessionRequest request(Configuration configuration) {
        ModelSpec spec = configuration.model.spec;
        ArtifactSpec artifact = configuration.artifact;
        List<int[]> inputShapes = new ArrayList<>();
        for (String name : artifact.inputNames) {
            inputShapes.add(ArtifactSpec.isFurther(name) ? new int[] {1, 2} : spec.inputShape);
        }
        List<int[]> outputShapes = new ArrayList<>();
        List<String> outputTypes = new ArrayList<>();
        for (OutputSpec output : spec.outputs) {
            outputShapes.add(output.shape);
            outputTypes.add(output.dtype);
        }
        return new SessionRequest(
                artifact.inputNames,
                inputShapes,
                artifact.outputNames,
                outputShapes,
                outputTypes,
                configuration.threads,
                configuration.powerMode);
    }

    private static void refuseImpossible(Configuration configuration) throws EngineException {
        int cores = Runtime.getRuntime().availableProcessors();
        if (configuration.threads > cores) {
            throw EngineException.unsupported(
                    configuration.threads + " threads on a device with " + cores + " usable cores");
        }
        if (!configuration.engine.powerModes().contains(configuration.powerMode)) {
            throw EngineException.unsupported(
                    configuration.engine.title() + " does not know power mode "
                            + configuration.powerMode);
        }
        if (!configuration.engine.format().equals(configuration.artifact.format)) {
            throw EngineException.unsupported(
                    configuration.engine.title() + " does not read " + configuration.artifact.kind);
        }
    }

    /** float32[1,3,height,width] NCHW, flat. */
    public float[] preprocess(Bitmap picture) throws PictureException {
        return preprocessor.apply(PictureReader.toRgb(picture));
    }

    /** The same from a picture that has the network's size already. */
    float[] normalise(Bitmap resized) throws PictureException {
        return preprocessor.normalise(PictureReader.toRgb(resized));
    }

    Frame frame(Bitmap picture) {
        return preprocessor.frame(picture.getWidth(), picture.getHeight());
    }

    /** Answers a picture. */
    public Answer answer(Bitmap picture) throws PictureException, EngineException {
        return answer(PictureReader.toRgb(picture), null);
    }

    /**
     * Answers one of many pictures of one size, for which nothing of a picture's size is made anew.
     *
     * @param reused an earlier answer's label map, which this answer may take and overwrite; or null
     */
    public Answer answer(RgbImage picture, LabelMap reused) throws PictureException, EngineException {
        Frame frame = preprocessor.frame(picture.width, picture.height);
        return task.answer(infer(preprocessor.apply(picture), frame), frame, reused);
    }

    /** Wall time of the inference in the last {@link #answer}, ns. */
    public long lastRunNs() {
        return lastRunNs;
    }

    /** Runs one inference; returns the network's own outputs. */
    List<Output> infer(float[] input, Frame frame) throws EngineException {
        setInput(input, frame);
        lastRunNs = timedRun();
        List<Output> outputs = new ArrayList<>();
        for (int index = 0; index < configuration.artifact.outputNames.size(); index++) {
            outputs.add(session.output(index));
        }
        return outputs;
    }

    Task task() {
        return task;
    }

    /** Sets the input of the following {@link #timedRun}s to a black picture of the network's size. */
    public void setBlackInput() throws EngineException {
        int[] shape = configuration.model.spec.inputShape;
        setInput(
                new float[configuration.model.spec.inputLength()],
                preprocessor.frame(shape[3], shape[2]));
    }

    private void setInput(float[] input, Frame frame) throws EngineException {
        List<String> names = configuration.artifact.inputNames;
        for (int index = 0; index < names.size(); index++) {
            session.setInput(index, valuesOf(names.get(index), input, frame));
        }
    }

    private static float[] valuesOf(String name, float[] input, Frame frame) {
        switch (name) {
            case ArtifactSpec.IM_SHAPE:
                return new float[] {frame.inputHeight, frame.inputWidth};
            case ArtifactSpec.SCALE_FACTOR:
                return new float[] {(float) frame.scaleY, (float) frame.scaleX};
            default:
                return input;
        }
    }

    /** Runs one inference on the input that was set; returns its wall time on a steady clock. */
    public long timedRun() throws EngineException {
        long started = System.nanoTime();
        session.run();
        return System.nanoTime() - started;
    }

    public Integer effectiveThreads() {
        return session.effectiveThreads();
    }

    @Override
    public void close() {
        session.close();
    }
}
