package org.edgekit.demo.bench;

import android.content.Context;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.text.SimpleDateFormat;
import java.util.Date;
import java.util.Locale;
import java.util.TimeZone;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** The result file of a sweep, the host's record `Result`, saved completely after every point. */
final class ResultFile {
    static final int SCHEMA_VERSION = 1;
    static final String DIRECTORY = "results";

    final File file;
    private final JSONObject document;
    private final JSONArray points = new JSONArray();

    ResultFile(Context context, BenchPlan plan) throws IOException, JSONException {
        File root = context.getExternalFilesDir(DIRECTORY);
        if (root == null) {
            throw new IOException("the external storage is not mounted");
        }
        file = new File(root, plan.runId + ".json");
        document =
                new JSONObject()
                        .put("schema_version", SCHEMA_VERSION)
                        .put("run_id", plan.runId)
                        .put("started_at", now())
                        .put("ended_at", JSONObject.NULL)
                        .put("edgekit_version", plan.edgekitVersion)
                        .put("command", new JSONArray().put("app").put(BenchPlan.ACTION))
                        .put("target", new SystemReader(context).device(plan.serial))
                        .put("points", points);
        save();
    }

    void add(JSONObject point) throws IOException {
        points.put(point);
        save();
    }

    /** Marks the sweep as ended: the host waits for this. */
    void end() throws IOException, JSONException {
        document.put("ended_at", now());
        save();
    }

    static String now() {
        SimpleDateFormat format = new SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ss'Z'", Locale.ROOT);
        format.setTimeZone(TimeZone.getTimeZone("UTC"));
        return format.format(new Date());
    }

    private void save() throws IOException {
        File part = new File(file.getPath() + ".part");
        try (OutputStream out = new FileOutputStream(part)) {
            out.write(document.toString().getBytes(StandardCharsets.UTF_8));
        }
        if (!part.renameTo(file)) {
            throw new IOException("renaming " + part + " failed");
        }
    }
}
