package org.edgekit.demo.ui;

import android.content.Context;
import android.graphics.Bitmap;
import android.os.Handler;
import android.os.Looper;
import java.io.File;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.edgekit.demo.engine.EngineException;
import org.edgekit.demo.inference.Classifier;
import org.edgekit.demo.inference.Configuration;
import org.edgekit.demo.inference.LatencySummary;
import org.edgekit.demo.inference.Prediction;
import org.edgekit.demo.inference.SelfTest;
import org.edgekit.demo.model.LoadedModel;
import org.edgekit.demo.model.ModelException;
import org.edgekit.demo.model.ModelStore;
import org.edgekit.demo.vision.PictureException;

/**
 * The one thread on which models are read, loaded, tested and run, and the one loaded model.
 *
 * <p>Answers come back on the main thread.
 */
public final class Workbench {
    private static final int TIMED_RUNS = 20;
    private static final long TIMED_LIMIT_NS = 2_000_000_000L;
    private static final int TOP = 5;

    /** Receives a task's result or the message of its failure, on the main thread. */
    public interface Answer<T> {
        void onResult(T result);

        void onFailure(String message);
    }

    /** The answer for one picture. */
    public static final class Outcome {
        public final List<Prediction> predictions;
        public final LatencySummary latency;
        public final SelfTest selfTest;

        Outcome(List<Prediction> predictions, LatencySummary latency, SelfTest selfTest) {
            this.predictions = predictions;
            this.latency = latency;
            this.selfTest = selfTest;
        }
    }

    /** The usable bundled models, and the errors of the others. */
    public static final class Catalogue {
        public final List<LoadedModel> models = new ArrayList<>();
        public final Map<String, String> broken = new LinkedHashMap<>();
    }

    private final ExecutorService worker =
            Executors.newSingleThreadExecutor(task -> new Thread(task, "edgekit-worker"));
    private final Handler main = new Handler(Looper.getMainLooper());
    private final ModelStore store;

    // Used on the worker's thread alone.
    private Classifier loaded;
    private SelfTest loadedTest;

    Workbench(Context context) {
        store = new ModelStore(context.getAssets(), new File(context.getFilesDir(), "artifacts"));
    }

    public ModelStore store() {
        return store;
    }

    /** Reads the descriptions and labels of all bundled models. */
    public void readCatalogue(Answer<Catalogue> answer) {
        submit(
                () -> {
                    Catalogue catalogue = new Catalogue();
                    for (String name : store.names()) {
                        try {
                            catalogue.models.add(store.read(name));
                        } catch (ModelException error) {
                            catalogue.broken.put(name, error.getMessage());
                        }
                    }
                    return catalogue;
                },
                answer);
    }

    /** Loads and self-tests a model unless it is loaded already. */
    public void prepare(Configuration configuration, Answer<SelfTest> answer) {
        submit(
                () -> {
                    load(configuration);
                    return loadedTest;
                },
                answer);
    }

    /** Classifies a picture and times the inference on it. */
    public void classify(Configuration configuration, Bitmap picture, Answer<Outcome> answer) {
        submit(
                () -> {
                    Classifier classifier = load(configuration);
                    classifier.infer(classifier.preprocess(picture));
                    List<Prediction> predictions = classifier.topK(TOP);
                    return new Outcome(predictions, time(classifier), loadedTest);
                },
                answer);
    }

    /** Runs another task on the worker's thread, e.g. decoding a picture. */
    public <T> void submit(Callable<T> task, Answer<T> answer) {
        worker.execute(
                () -> {
                    try {
                        T result = task.call();
                        main.post(() -> answer.onResult(result));
                    } catch (ModelException | EngineException | PictureException error) {
                        fail(answer, error.getMessage());
                    } catch (Exception | OutOfMemoryError error) {
                        fail(answer, "Unexpected: " + error);
                    }
                });
    }

    /** Frees the loaded model, so that a sweep has the memory and the cores to itself. */
    void release() {
        if (loaded != null) {
            loaded.close();
            loaded = null;
            loadedTest = null;
        }
    }

    private Classifier load(Configuration configuration) throws ModelException, EngineException {
        if (loaded != null && loaded.configuration.key().equals(configuration.key())) {
            return loaded;
        }
        release();
        Classifier classifier = Classifier.open(configuration, store);
        try {
            loadedTest = SelfTest.run(classifier, store);
        } catch (ModelException | EngineException | RuntimeException error) {
            classifier.close();
            throw error;
        }
        loaded = classifier;
        return classifier;
    }

    private static LatencySummary time(Classifier classifier) throws EngineException {
        long[] samples = new long[TIMED_RUNS];
        int count = 0;
        long total = 0;
        while (count < TIMED_RUNS && (count == 0 || total < TIMED_LIMIT_NS)) {
            samples[count] = classifier.timedRun();
            total += samples[count++];
        }
        return new LatencySummary(java.util.Arrays.copyOf(samples, count));
    }

    private <T> void fail(Answer<T> answer, String message) {
        main.post(() -> answer.onFailure(message));
    }
}
