package org.edgekit.demo.bench;

import android.content.Context;
import java.io.DataInputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.edgekit.demo.inference.LatencySummary;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** A result file of an earlier sweep. Reads files: not for the main thread. */
public final class SavedResult {
    /** One point of it. */
    public static final class Point {
        public final String model;
        public final String engine;
        public final String precision;
        public final int threads;
        public final String status;

        /** Figures of the samples; null without samples. */
        public final LatencySummary latency;

        /** Reason why it failed or was skipped; null where it did not. */
        public final String error;

        /** Reasons to doubt the figures, in the words of the file. */
        public final List<String> reasons;

        /** Threads that took effect; null where that is not known. */
        public final Integer effectiveThreads;

        /** The battery's temperature before and after; null where it was not readable. */
        public final Double celsiusBefore;

        public final Double celsiusAfter;

        /** Whether the figures may be believed; null without samples. */
        public final Verdict verdict;

        Point(JSONObject point) throws JSONException {
            model = point.getString("model");
            engine = point.getString("engine");
            precision = point.getString("precision");
            threads = point.getInt("requested_threads");
            status = point.getString("status");
            JSONObject reason = point.optJSONObject("error");
            List<String> doubts = new ArrayList<>();
            JSONArray texts = point.optJSONArray("reasons");
            for (int index = 0; texts != null && index < texts.length(); index++) {
                doubts.add(texts.getString(index));
            }
            reasons = Collections.unmodifiableList(doubts);
            error = reason == null ? null : reason.optString("message");
            JSONArray processes = point.optJSONArray("processes");
            JSONArray samples =
                    processes == null || processes.length() == 0
                            ? new JSONArray()
                            : processes.getJSONObject(0).getJSONArray("samples_ns");
            long[] ns = new long[samples.length()];
            for (int index = 0; index < ns.length; index++) {
                ns[index] = samples.getLong(index);
            }
            latency = ns.length == 0 ? null : new LatencySummary(ns);
            effectiveThreads = point.isNull("effective_threads") ? null : point.getInt("effective_threads");
            celsiusBefore = celsius(point.optJSONObject("environment_before"));
            celsiusAfter = celsius(point.optJSONObject("environment_after"));
            verdict = ns.length == 0 ? null : new Verdict(this, ns);
        }

        private static Double celsius(JSONObject environment) {
            JSONObject all = environment == null ? null : environment.optJSONObject("temperatures_celsius");
            return all == null || !all.has("battery") ? null : Double.valueOf(all.optDouble("battery"));
        }
    }

    /** The point of the same model, engine, precision and threads; null where there is none. */
    public Point matching(Point wanted) {
        for (Point point : points) {
            if (point.model.equals(wanted.model)
                    && point.engine.equals(wanted.engine)
                    && point.precision.equals(wanted.precision)
                    && point.threads == wanted.threads) {
                return point;
            }
        }
        return null;
    }

    public final File file;

    /** Time of the start in UTC, ISO 8601. */
    public final String startedAt;

    public final List<Point> points;

    private SavedResult(File file, JSONObject document) throws JSONException {
        this.file = file;
        startedAt = document.getString("started_at");
        List<Point> all = new ArrayList<>();
        JSONArray found = document.getJSONArray("points");
        for (int index = 0; index < found.length(); index++) {
            all.add(new Point(found.getJSONObject(index)));
        }
        points = Collections.unmodifiableList(all);
    }

    /** The file of this name among the results; null where there is none. */
    public static File file(Context context, String name) {
        File directory = context.getExternalFilesDir(ResultFile.DIRECTORY);
        // A plain name, so that nothing outside the directory is handed out.
        if (directory == null || !name.matches("[A-Za-z0-9_-]{1,64}\\.json")) {
            return null;
        }
        File file = new File(directory, name);
        return file.isFile() ? file : null;
    }

    /** Reads one result. */
    public static SavedResult read(File file) throws IOException {
        byte[] content = new byte[(int) file.length()];
        try (DataInputStream in = new DataInputStream(new FileInputStream(file))) {
            in.readFully(content);
            return new SavedResult(
                    file, new JSONObject(new String(content, StandardCharsets.UTF_8)));
        } catch (JSONException error) {
            throw new IOException(file.getName() + " is no result: " + error.getMessage(), error);
        }
    }

    /** All results, the newest first; files that are none are left out. */
    public static List<SavedResult> all(Context context) {
        File directory = context.getExternalFilesDir(ResultFile.DIRECTORY);
        String[] names = directory == null ? null : directory.list();
        List<SavedResult> all = new ArrayList<>();
        for (String name : names == null ? new String[0] : names) {
            File file = file(context, name);
            try {
                if (file != null) {
                    all.add(read(file));
                }
            } catch (IOException error) {
                continue; // another program's file, or half of one
            }
        }
        Collections.sort(all, (a, b) -> b.startedAt.compareTo(a.startedAt));
        return all;
    }
}
