package org.edgekit.demo.ui;

import android.app.Activity;
import android.content.pm.PackageManager;
import android.os.Build;
import android.os.Bundle;
import android.text.TextUtils;
import android.view.ViewGroup;
import android.widget.TextView;
import java.util.Map;
import org.edgekit.demo.R;
import org.edgekit.demo.engine.Engine;
import org.edgekit.demo.engine.EngineCatalogue;
import org.edgekit.demo.engine.EngineException;
import org.edgekit.demo.model.ArtifactSpec;
import org.edgekit.demo.model.LoadedModel;
import org.edgekit.demo.model.ModelSpec;

/** Shows the models of this app with hashes, the engines, versions, the device and the licences. */
public final class InfoActivity extends Activity {
    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        setContentView(R.layout.info);
        Insets.keepClear(findViewById(R.id.root));
        setActionBar(findViewById(R.id.toolbar));
        getActionBar().setDisplayHomeAsUpEnabled(true);
        TextView text = findViewById(R.id.information_text);
        text.setText(R.string.reading);
        listLicences();
        Workbench workbench = ((DemoApplication) getApplication()).workbench();
        workbench.readCatalogue(
                new Workbench.Reply<Workbench.Catalogue>() {
                    @Override
                    public void onResult(Workbench.Catalogue catalogue) {
                        text.setText(describe(catalogue));
                    }

                    @Override
                    public void onFailure(String message) {
                        text.setText(Messages.shown(getResources(), message) + "\n\n" + describeApp());
                    }
                });
    }

    private void listLicences() {
        ViewGroup list = findViewById(R.id.licences);
        for (Licence licence : Licence.present(this)) {
            TextView row = (TextView) getLayoutInflater().inflate(R.layout.licence_row, list, false);
            row.setText(licence.title);
            row.setOnClickListener(view -> startActivity(LicenceActivity.intent(this, licence)));
            list.addView(row);
        }
    }

    private String describe(Workbench.Catalogue catalogue) {
        StringBuilder text = new StringBuilder();
        for (LoadedModel model : catalogue.models) {
            describe(text, model.spec);
        }
        for (Map.Entry<String, String> broken : catalogue.broken.entrySet()) {
            text.append(broken.getKey()).append("\n  ").append(Messages.shown(getResources(), broken.getValue())).append("\n\n");
        }
        return text.append(describeApp()).toString();
    }

    private void describe(StringBuilder text, ModelSpec spec) {
        text.append(spec.name).append('\n');
        line(text, getString(R.string.weights), spec.source);
        line(text, getString(R.string.classes), Integer.toString(spec.numClasses));
        line(text, getString(R.string.input), java.util.Arrays.toString(spec.inputShape));
        line(text, getString(R.string.bundled_by), "edgekit " + spec.edgekitVersion);
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
        line(text, getString(R.string.version), versionName());
        for (Engine engine : EngineCatalogue.engines()) {
            line(text, engine.title(), version(engine));
        }
        text.append("\n").append(getString(R.string.device)).append('\n');
        line(text, getString(R.string.device_model), Build.MANUFACTURER + " " + Build.MODEL);
        line(text, getString(R.string.hardware), Build.HARDWARE);
        line(text, "Android", Build.VERSION.RELEASE + " (SDK " + Build.VERSION.SDK_INT + ")");
        line(text, "ABIs", TextUtils.join(", ", Build.SUPPORTED_ABIS));
        line(text, getString(R.string.cores), Integer.toString(Runtime.getRuntime().availableProcessors()));
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
