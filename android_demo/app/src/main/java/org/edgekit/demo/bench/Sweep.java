package org.edgekit.demo.bench;

import android.content.Context;
import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import org.edgekit.demo.engine.Engine;
import org.edgekit.demo.engine.EngineCatalogue;
import org.edgekit.demo.engine.PowerMode;
import org.edgekit.demo.inference.Configuration;
import org.edgekit.demo.model.ArtifactSpec;
import org.edgekit.demo.model.LoadedModel;
import org.edgekit.demo.model.ModelException;
import org.edgekit.demo.model.ModelStore;
import org.json.JSONException;
import org.json.JSONObject;

/** Runs a plan point by point. Blocks, so do not call it on the main thread. */
public final class Sweep {
    /** Called on the sweep's thread. */
    public interface Listener {
        /** A point begins; {@code number} counts from 1. */
        void onStart(int number, int all, Configuration configuration);

        /** Waits for the device to cool down before the first point. */
        void onWait(double celsius, int limit);

        /** A point has ended. */
        void onPoint(SavedResult.Point point);
    }

    private static final long POLL_MS = 500;

    private final Context context;
    private final BenchPlan plan;
    private final ModelStore store;
    private final Circumstances circumstances;
    private final AtomicBoolean cancelled = new AtomicBoolean();

    public Sweep(
            Context context, BenchPlan plan, ModelStore store, Circumstances circumstances) {
        this.circumstances = circumstances;
        this.context = context;
        this.plan = plan;
        this.store = store;
    }

    /** Ends the sweep after the running inference. */
    public void cancel() {
        cancelled.set(true);
    }

    /**
     * Measures everything and returns the result file.
     *
     * @throws ModelException nothing of the plan is bundled, or a bundled model is broken
     */
    public File run(Listener listener) throws ModelException, IOException {
        try {
            List<Configuration> configurations = configurations();
            ResultFile result = new ResultFile(context, plan);
            PointRunner runner =
                    new PointRunner(plan, store, context, circumstances, cancelled);
            cool(listener);
            for (Configuration configuration : configurations) {
                if (cancelled.get()) {
                    break;
                }
                listener.onStart(
                        configurations.indexOf(configuration) + 1, configurations.size(), configuration);
                JSONObject point = runner.measure(configuration);
                result.add(point);
                listener.onPoint(new SavedResult.Point(point));
            }
            result.end();
            return result.file;
        } catch (JSONException error) {
            throw new IllegalStateException(error); // a NaN among the figures
        }
    }

    /** Waits until the battery is no warmer than the plan wants it. */
    private void cool(Listener listener) throws ModelException {
        SystemReader system = new SystemReader(context);
        while (plan.maxCelsius > 0 && !cancelled.get()) {
            Double celsius = system.batteryCelsius();
            if (celsius == null) {
                throw new ModelException(
                        "The battery's temperature cannot be read here: leave its limit out.");
            }
            if (celsius <= plan.maxCelsius) {
                return;
            }
            listener.onWait(celsius, plan.maxCelsius);
            try {
                Thread.sleep(POLL_MS);
            } catch (InterruptedException error) {
                cancel();
            }
        }
    }

    private List<Configuration> configurations() throws ModelException {
        List<Configuration> all = new ArrayList<>();
        List<String> known = store.names();
        for (String name : known) {
            if (plan.models.isEmpty() || plan.models.contains(name)) {
                addModel(all, store.read(name));
            }
        }
        if (!known.containsAll(plan.models)) {
            throw new ModelException(
                    "The plan names " + plan.models + "; this app has " + known + ".");
        }
        if (all.isEmpty()) {
            throw new ModelException("No bundled model has an artifact for " + plan.engines + ".");
        }
        return all;
    }

    private void addModel(List<Configuration> all, LoadedModel model) {
        for (Engine engine : EngineCatalogue.engines()) {
            if (!plan.engines.isEmpty() && !plan.engines.contains(engine.name())) {
                continue;
            }
            for (ArtifactSpec artifact : model.spec.artifacts) {
                if (!artifact.format.equals(engine.format())) {
                    continue;
                }
                PowerMode mode =
                        plan.powerMode == null ? engine.powerModes().get(0) : plan.powerMode;
                for (int threads : plan.threads) {
                    all.add(new Configuration(model, artifact, engine, threads, mode));
                }
            }
        }
    }
}
