package org.edgekit.demo.ui;

import android.app.Activity;
import android.content.pm.PackageManager;
import android.os.Build;
import android.os.Bundle;
import android.text.TextUtils;
import android.widget.TextView;
import java.util.Map;
import org.edgekit.demo.R;
import org.edgekit.demo.engine.Engine;
import org.edgekit.demo.engine.EngineCatalogue;
import org.edgekit.demo.engine.EngineException;
import org.edgekit.demo.model.ArtifactSpec;
import org.edgekit.demo.model.LoadedModel;
import org.edgekit.demo.model.ModelSpec;

/** Shows the models of this app with hashes, the engines, versions and the device. */
public final class InfoActivity extends Activity {
    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        setContentView(R.layout.info);
        TextView text = findViewById(R.id.information_text);
        text.setText(R.string.reading);
        Workbench workbench = ((DemoApplication) getApplication()).workbench();
        workbench.readCatalogue(
                new Workbench.Reply<Workbench.Catalogue>() {
                    @Override
                    public void onResult(Workbench.Catalogue catalogue) {
                        text.setText(describe(catalogue));
                    }

                    @Override
                    public void onFailure(String message) {
                        text.setText(message + "\n\n" + describeApp());
                    }
                });
    }

    private String describe(Workbench.Catalogue catalogue) {
        StringBuilder text = new StringBuilder();
        for (LoadedModel model : catalogue.models) {
            describe(text, model.spec);
        }
        for (Map.Entry<String, String> broken : catalogue.broken.entrySet()) {
            text.append(broken.getKey()).append("\n  ").append(broken.getValue()).append("\n\n");
        }
        return text.append(describeApp()).toString();
    }

    private static void describe(StringBuilder text, ModelSpec spec) {
        text.append(spec.name).append('\n');
        line(text, "weights", spec.source);
        line(text, "classes", Integer.toString(spec.numClasses));
        line(text, "input", java.util.Arrays.toString(spec.inputShape));
        line(text, "bundled by", "edgekit " + spec.edgekitVersion);
        for (ArtifactSpec artifact : spec.artifacts) {
            line(
                    text,
                    artifact.kind,
                    artifact.precision + ", " + artifact.sizeBytes / 1000 + " kB, "
                            + artifact.converter + " " + artifact.converterVersion);
            line(text, "SHA-256", artifact.sha256);
        }
        text.append('\n');
    }

    private String describeApp() {
        StringBuilder text = new StringBuilder(getString(R.string.app_name)).append('\n');
        line(text, "version", versionName());
        for (Engine engine : EngineCatalogue.engines()) {
            line(text, engine.title(), version(engine));
        }
        text.append("\n").append(getString(R.string.device)).append('\n');
        line(text, "model", Build.MANUFACTURER + " " + Build.MODEL);
        line(text, "hardware", Build.HARDWARE);
        line(text, "Android", Build.VERSION.RELEASE + " (SDK " + Build.VERSION.SDK_INT + ")");
        line(text, "ABIs", TextUtils.join(", ", Build.SUPPORTED_ABIS));
        line(text, "cores", Integer.toString(Runtime.getRuntime().availableProcessors()));
        return text.toString();
    }

    private String versionName() {
        try {
            return getPackageManager().getPackageInfo(getPackageName(), 0).versionName;
        } catch (PackageManager.NameNotFoundException error) {
            throw new IllegalStateException(error); // this app is installed while it runs
        }
    }

    private static String version(Engine engine) {
        try {
            return engine.version();
        } catch (EngineException error) {
            return error.getMessage();
        }
    }

    private static void line(StringBuilder text, String name, String value) {
        text.append("  ").append(name).append(": ").append(value).append('\n');
    }
}
