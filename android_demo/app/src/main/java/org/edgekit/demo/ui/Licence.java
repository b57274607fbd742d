package org.edgekit.demo.ui;

import android.content.Context;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.edgekit.demo.R;

/** A licence of something in the APK, with its text. */
enum Licence {
    APP(R.string.licence_app, R.raw.licence_apache, null),
    ONNX_RUNTIME(R.string.licence_onnxruntime, R.raw.licence_onnxruntime, null),
    ONNX_RUNTIME_PARTS(R.string.licence_onnxruntime_parts, 0, "licences/onnxruntime.txt"),
    PADDLE_LITE(R.string.licence_paddlelite, R.raw.licence_apache, null);

    final int title;
    private final int resource;

    /** Place among the assets, for what the build takes out of a library; null for a resource. */
    private final String asset;

    Licence(int title, int resource, String asset) {
        this.title = title;
        this.resource = resource;
        this.asset = asset;
    }

    /** The licences of what this APK holds. */
    static List<Licence> present(Context context) {
        List<Licence> present = new ArrayList<>(Arrays.asList(APP, ONNX_RUNTIME));
        try {
            ONNX_RUNTIME_PARTS.open(context).close();
            present.add(ONNX_RUNTIME_PARTS);
        } catch (IOException error) {
            // Gradle's builds have the library without them.
        }
        if (org.edgekit.demo.engine.EngineCatalogue.engines().size() > 1) {
            present.add(PADDLE_LITE);
        }
        return present;
    }

    private InputStream open(Context context) throws IOException {
        return asset == null
                ? context.getResources().openRawResource(resource)
                : context.getAssets().open(asset);
    }

    /** The text in paragraphs. */
    List<String> paragraphs(Context context) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (InputStream in = open(context)) {
            byte[] chunk = new byte[1 << 14];
            int count;
            while ((count = in.read(chunk)) >= 0) {
                out.write(chunk, 0, count);
            }
        }
        String text = new String(out.toByteArray(), StandardCharsets.UTF_8).replace("\r", "");
        return Arrays.asList(text.trim().split("\n\\s*\n"));
    }
}
