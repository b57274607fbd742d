package org.edgekit.demo.inference;

import android.graphics.Bitmap;
import android.os.SystemClock;
import java.io.File;
import java.util.ArrayList;
import java.util.List;
import org.edgekit.demo.engine.EngineException;
import org.edgekit.demo.engine.Session;
import org.edgekit.demo.engine.SessionRequest;
import org.edgekit.demo.model.ArtifactSpec;
import org.edgekit.demo.model.LoadedModel;
import org.edgekit.demo.model.ModelException;
import org.edgekit.demo.model.ModelSpec;
import org.edgekit.demo.model.ModelStore;
import org.edgekit.demo.vision.PictureException;
import org.edgekit.demo.vision.PictureReader;
import org.edgekit.demo.vision.Preprocessor;

/** A loaded model that classifies pictures. Used by one thread at a time, never by the main thread. */
public final class Classifier implements AutoCloseable {
    public final Configuration configuration;
    public final long loadNs;

    private final Session session;
    private final Preprocessor preprocessor;

    private Classifier(Configuration configuration, Session session, long loadNs) {
        this.configuration = configuration;
        this.session = session;
        this.loadNs = loadNs;
        preprocessor = new Preprocessor(configuration.model.spec.preprocess);
    }

    /** Loads a model in a configuration; its file's hash and the network's tensors are checked. */
    public static Classifier open(Configuration configuration, ModelStore store)
            throws ModelException, EngineException {
        LoadedModel model = configuration.model;
        ArtifactSpec artifact = configuration.artifact;
        refuseImpossible(configuration);
        List<String> hashes = new ArrayList<>();
        for (ArtifactSpec other : model.spec.artifacts) {
            hashes.add(other.sha256);
        }
        File file = store.artifact(model.directory, artifact, hashes);
        ModelSpec spec = model.spec;
        long started = SystemClock.elapsedRealtimeNanos();
        Session session =
                configuration.engine.open(
                        file,
                        new SessionRequest(
                                artifact.inputName,
                                artifact.outputName,
                                spec.inputShape,
                                spec.outputShape,
                                configuration.threads,
                                configuration.powerMode));
        return new Classifier(
                configuration, session, SystemClock.elapsedRealtimeNanos() - started);
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

    /** float32[1,3,crop,crop] NCHW, flat. */
    public float[] preprocess(Bitmap picture) throws PictureException {
        return preprocessor.apply(PictureReader.toRgb(picture));
    }

    /** Runs one inference; returns the network's own output, one value a class. */
    public double[] infer(float[] input) throws EngineException {
        session.setInput(input);
        session.run();
        return Scores.widen(session.output());
    }

    /** Sets the input of the following {@link #timedRun}s. */
    public void setInput(float[] input) throws EngineException {
        session.setInput(input);
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

    /** Returns the best classes of the last inference as probabilities. */
    public List<Prediction> topK(int count) throws EngineException {
        float[] output = session.output();
        double[] scores =
                configuration.model.spec.endsInSoftmax ? Scores.widen(output) : Scores.softmax(output);
        if (!Scores.isFinite(scores)) {
            throw EngineException.failed("The network's answer is not finite", null);
        }
        return Scores.topK(scores, configuration.model.labels, count);
    }

    @Override
    public void close() {
        session.close();
    }
}
