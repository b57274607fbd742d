package org.edgekit.demo.bench;

import android.content.Context;
import android.os.Process;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import org.edgekit.demo.engine.EngineException;
import org.edgekit.demo.inference.Predictor;
import org.edgekit.demo.inference.Configuration;
import org.edgekit.demo.inference.SelfTest;
import org.edgekit.demo.model.ModelException;
import org.edgekit.demo.model.ModelStore;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** Measures one point of a sweep and writes it in the form of the host's record `Point`. */
final class PointRunner {
    private static final int RUNNER_EXIT_CODE = 8;
    private static final int USAGE_EXIT_CODE = 2;

    private final BenchPlan plan;
    private final ModelStore store;
    private final SystemReader system;
    private final AtomicBoolean cancelled;
    private final Context context;
    private final Circumstances circumstances;

    PointRunner(
            BenchPlan plan,
            ModelStore store,
            Context context,
            Circumstances circumstances,
            AtomicBoolean cancelled) {
        this.plan = plan;
        this.store = store;
        this.context = context;
        this.circumstances = circumstances;
        system = new SystemReader(context);
        this.cancelled = cancelled;
    }

    JSONObject measure(Configuration configuration) throws JSONException {
        JSONObject point = describe(configuration);
        try (Predictor predictor = Predictor.open(configuration, store)) {
            point.put("engine_version", configuration.engine.version());
            Integer effective = predictor.effectiveThreads();
            point.put("effective_threads", effective == null ? JSONObject.NULL : effective);
            long firstRunNs = firstRun(predictor);
            point.put("parity", parity(SelfTest.run(predictor, store)));
            point.put("environment_before", system.environment());
            circumstances.begin();
            point.put("processes", new JSONArray().put(sample(predictor, firstRunNs)));
            List<String> reasons = circumstances.reasons(context);
            point.put("environment_after", system.environment());
            if (!reasons.isEmpty()) {
                boolean isHot = reasons.contains(Circumstances.HOT);
                point.put("reasons", new JSONArray(reasons));
                point.put("verdict", isHot ? "throttled" : "unstable");
            }
            return point.put("status", cancelled.get() ? "interrupted" : "done");
        } catch (EngineException error) {
            return failed(
                    point,
                    error.unsupported ? "skipped" : "failed",
                    error.getMessage(),
                    error.unsupported ? USAGE_EXIT_CODE : RUNNER_EXIT_CODE);
        } catch (ModelException | OutOfMemoryError error) {
            return failed(point, "failed", String.valueOf(error.getMessage()), RUNNER_EXIT_CODE);
        }
    }

    private JSONObject describe(Configuration configuration) throws JSONException {
        boolean binds = configuration.engine.powerModes().size() > 1;
        return new JSONObject()
                .put("model", configuration.model.spec.name)
                .put(
                        "artifact",
                        new JSONObject()
                                .put("kind", configuration.artifact.kind)
                                .put("format", configuration.artifact.format)
                                .put("sha256", configuration.artifact.sha256)
                                .put("converter", configuration.artifact.converter)
                                .put("converter_version", configuration.artifact.converterVersion))
                .put("engine", configuration.engine.name())
                .put("engine_options", new JSONObject().put("host_process", "android app"))
                .put("precision", configuration.artifact.precision)
                .put("requested_threads", configuration.threads)
                .put("batch_size", 1)
                .put("power_mode", binds ? configuration.powerMode.name() : JSONObject.NULL)
                .put("warmup", plan.warmup);
    }

    private static JSONObject failed(JSONObject point, String status, String message, int exitCode)
            throws JSONException {
        return point
                .put("status", status)
                .put("error", new JSONObject().put("message", message).put("exit_code", exitCode));
    }

    private static JSONObject parity(SelfTest test) throws JSONException {
        return new JSONObject()
                .put("reference", "bundled samples")
                .put("inputs", test.samples)
                .put("max_relative_error", test.relativeError)
                .put("top1_agreement", test.agreement)
                .put("judged_by", test.judgedBy)
                .put("outputs_differ", test.outputsDiffer)
                .put("passed", true); // SelfTest.run throws where a test fails
    }

    private static long firstRun(Predictor predictor) throws EngineException {
        predictor.setBlackInput();
        return predictor.timedRun();
    }

    private JSONObject sample(Predictor predictor, long firstRunNs)
            throws EngineException, JSONException {
        // The self-test left the last sample's picture in the input.
        String startedAt = ResultFile.now();
        int warmups = 0;
        long warmupNs = 0;
        while ((warmups < plan.warmup || warmupNs < plan.warmupNs) && !cancelled.get()) {
            warmupNs += predictor.timedRun();
            warmups++;
        }
        List<Long> samples = new ArrayList<>();
        long timedNs = 0;
        long cpuMsBefore = Process.getElapsedCpuTime();
        while ((samples.size() < plan.repeats || timedNs < plan.minNs)
                && timedNs < plan.maxNs
                && !cancelled.get()) {
            long sample = predictor.timedRun();
            samples.add(sample);
            timedNs += sample;
        }
        long cpuMs = Process.getElapsedCpuTime() - cpuMsBefore;
        Long peak = SystemReader.peakMemoryBytes();
        return new JSONObject()
                .put("samples_ns", new JSONArray(samples))
                .put("warmup_runs", warmups)
                .put("load_ns", predictor.loadNs)
                .put("first_run_ns", firstRunNs)
                .put("peak_memory_bytes", peak == null ? JSONObject.NULL : peak)
                .put("cpu_ns", cpuMs * 1_000_000L)
                .put("started_at", startedAt);
    }
}
