package org.edgekit.demo;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.json.JSONArray;
import org.json.JSONObject;
import org.robolectric.RuntimeEnvironment;

/** The first bundled model under another name as the zip of {@code edgekit bundle --zip}, to damage. */
final class ModelZip {
    static final String NAME = "own_model";

    /** Content by place in the zip, in order. */
    final Map<String, byte[]> files = new LinkedHashMap<>();

    ModelZip(String bundled) throws Exception {
        String directory = "models/" + bundled;
        for (String file : RuntimeEnvironment.getApplication().getAssets().list(directory)) {
            try (InputStream in =
                    RuntimeEnvironment.getApplication().getAssets().open(directory + "/" + file)) {
                ByteArrayOutputStream out = new ByteArrayOutputStream();
                byte[] chunk = new byte[1 << 16];
                int count;
                while ((count = in.read(chunk)) >= 0) {
                    out.write(chunk, 0, count);
                }
                files.put(NAME + "/" + file, out.toByteArray());
            }
        }
        JSONObject model = model();
        put(model.put("name", NAME));
    }

    JSONObject model() throws Exception {
        return new JSONObject(new String(files.get(NAME + "/model.json"), StandardCharsets.UTF_8));
    }

    void put(JSONObject model) {
        files.put(NAME + "/model.json", model.toString().getBytes(StandardCharsets.UTF_8));
    }

    /** Adds an artifact that no engine can load, its hash being right. */
    ModelZip addBroken(String precision) throws Exception {
        byte[] noise = {1, 2, 3};
        JSONObject model = model();
        JSONArray artifacts = model.getJSONArray("artifacts");
        StringBuilder hash = new StringBuilder();
        for (byte one : MessageDigest.getInstance("SHA-256").digest(noise)) {
            hash.append(String.format("%02x", one));
        }
        artifacts.put(
                new JSONObject(artifacts.getJSONObject(0).toString())
                        .put("kind", "onnx-" + precision)
                        .put("file", "broken.onnx")
                        .put("sha256", hash.toString())
                        .put("size_bytes", noise.length)
                        .put("precision", precision));
        put(model);
        files.put(NAME + "/broken.onnx", noise);
        return this;
    }

    InputStream open() throws Exception {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (ZipOutputStream zip = new ZipOutputStream(out)) {
            for (Map.Entry<String, byte[]> file : files.entrySet()) {
                zip.putNextEntry(new ZipEntry(file.getKey()));
                zip.write(file.getValue());
                zip.closeEntry();
            }
        }
        return new ByteArrayInputStream(out.toByteArray());
    }
}
