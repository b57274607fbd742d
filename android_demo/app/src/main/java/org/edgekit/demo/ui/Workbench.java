package org.edgekit.demo.ui;

import android.content.ContentResolver;
import android.content.Context;
import android.graphics.Bitmap;
import android.net.Uri;
import android.os.Handler;
import android.os.Looper;
import java.io.File;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import org.edgekit.demo.engine.EngineException;
import org.edgekit.demo.inference.Answer;
import org.edgekit.demo.inference.Configuration;
import org.edgekit.demo.inference.LatencySummary;
import org.edgekit.demo.inference.Predictor;
import org.edgekit.demo.inference.SelfTest;
import org.edgekit.demo.model.LoadedModel;
import org.edgekit.demo.model.ModelException;
import org.edgekit.demo.model.ModelImport;
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

    /** Receives a task's result or the message of its failure, on the main thread. */
    public interface Reply<T> {
        void onResult(T result);

        void onFailure(String message);
    }

    /** The answer for one picture. */
    public static final class Outcome {
        public final Answer answer;
        public final LatencySummary latency;
        public final SelfTest selfTest;

        Outcome(Answer answer, LatencySummary latency, SelfTest selfTest) {
            this.answer = answer;
            this.latency = latency;
            this.selfTest = selfTest;
        }
    }

    /** The usable models, and the errors of the others. */
    public static final class Catalogue {
        public final List<LoadedModel> models = new ArrayList<>();
        public final Map<String, String> broken = new LinkedHashMap<>();

        /** Names of those that the user imported. */
        public final Set<String> imported = new HashSet<>();
    }

    private final ExecutorService worker =
            Executors.newSingleThreadExecutor(task -> new Thread(task, "edgekit-worker"));
    // Reading goes on while a sweep has the worker for minutes.
    private final ExecutorService reader =
            Executors.newSingleThreadExecutor(task -> new Thread(task, "edgekit-reader"));
    private final Handler main = new Handler(Looper.getMainLooper());
    private final ModelStore store;
    private final ModelImport modelImport;
    private final AtomicInteger changes = new AtomicInteger();

    // Used on the worker's thread alone.
    private Predictor loaded;
    private SelfTest loadedTest;

    Workbench(Context context) {
        File imported = new File(context.getFilesDir(), "models");
        store =
                new ModelStore(
                        context.getAssets(), new File(context.getFilesDir(), "artifacts"), imported);
        modelImport = new ModelImport(store, imported, ModelImport.MOST_BYTES);
    }

    /** Imports the models of a zip; the reply has their names. */
    void importModels(ContentResolver resolver, Uri zip, Reply<List<String>> reply) {
        read(
                () -> {
                    try (InputStream in = resolver.openInputStream(zip)) {
                        if (in == null) {
                            throw new ModelException("The file " + zip + " is not there any more.");
                        }
                        List<String> names = modelImport.read(in);
                        changes.incrementAndGet();
                        return names;
                    }
                },
                reply);
    }

    /** Removes an imported model. */
    void removeModel(String name, Reply<String> reply) {
        read(
                () -> {
                    modelImport.remove(name);
                    changes.incrementAndGet();
                    return name;
                },
                reply);
    }

    /** A number that grows when models come or go. */
    int changes() {
        return changes.get();
    }

    public ModelStore store() {
        return store;
    }

    /** Reads the descriptions and labels of all bundled models. */
    public void readCatalogue(Reply<Catalogue> reply) {
        read(
                () -> {
                    Catalogue catalogue = new Catalogue();
                    for (String name : store.names()) {
                        if (store.isImported(name)) {
                            catalogue.imported.add(name);
                        }
                        try {
                            catalogue.models.add(store.read(name));
                        } catch (ModelException error) {
                            catalogue.broken.put(name, error.getMessage());
                        }
                    }
                    return catalogue;
                },
                reply);
    }

    /** Loads and self-tests a model unless it is loaded already. */
    public void prepare(Configuration configuration, Reply<SelfTest> reply) {
        submit(
                () -> {
                    load(configuration);
                    return loadedTest;
                },
                reply);
    }

    /** Answers a picture and times the inference on it. */
    public void answer(Configuration configuration, Bitmap picture, Reply<Outcome> reply) {
        submit(
                () -> {
                    Predictor predictor = load(configuration);
                    Answer answer = predictor.answer(picture);
                    return new Outcome(answer, time(predictor), loadedTest);
                },
                reply);
    }

    /** Work with a loaded model, on the worker's thread. */
    interface Use<T> {
        T apply(Predictor predictor) throws ModelException, EngineException, PictureException;
    }

    /** Loads and self-tests a model unless it is loaded already, and works with it. */
    <T> void use(Configuration configuration, Use<T> use, Reply<T> reply) {
        submit(() -> use.apply(load(configuration)), reply);
    }

    /** Runs another task on the worker's thread, e.g. a sweep. */
    public <T> void submit(Callable<T> task, Reply<T> reply) {
        run(worker, task, reply);
    }

    /** Runs a task that needs no loaded model, e.g. decoding a picture. */
    public <T> void read(Callable<T> task, Reply<T> reply) {
        run(reader, task, reply);
    }

    private <T> void run(ExecutorService executor, Callable<T> task, Reply<T> reply) {
        executor.execute(
                () -> {
                    try {
                        T result = task.call();
                        main.post(() -> reply.onResult(result));
                    } catch (ModelException | EngineException | PictureException error) {
                        fail(reply, error.getMessage());
                    } catch (Exception | OutOfMemoryError error) {
                        fail(reply, "Unexpected: " + error);
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

    private Predictor load(Configuration configuration) throws ModelException, EngineException {
        if (loaded != null && loaded.configuration.key().equals(configuration.key())) {
            return loaded;
        }
        release();
        Predictor predictor = Predictor.open(configuration, store);
        try {
            loadedTest = SelfTest.run(predictor, store);
        } catch (ModelException | EngineException | RuntimeException error) {
            predictor.close();
            throw error;
        }
        loaded = predictor;
        return predictor;
    }

    private static LatencySummary time(Predictor predictor) throws EngineException {
        long[] samples = new long[TIMED_RUNS];
        int count = 0;
        long total = 0;
        while (count < TIMED_RUNS && (count == 0 || total < TIMED_LIMIT_NS)) {
            samples[count] = predictor.timedRun();
            total += samples[count++];
        }
        return new LatencySummary(java.util.Arrays.copyOf(samples, count));
    }

    private <T> void fail(Reply<T> reply, String message) {
        main.post(() -> reply.onFailure(message));
    }
}
