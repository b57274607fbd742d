package org.edgekit.demo.ui;

import android.app.Activity;
import android.app.AlertDialog;
import android.content.ActivityNotFoundException;
import android.content.Intent;
import android.os.Bundle;
import android.text.TextUtils;
import android.view.View;
import android.view.ViewGroup;
import android.widget.TextView;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.edgekit.demo.R;
import org.edgekit.demo.model.ArtifactSpec;
import org.edgekit.demo.model.LoadedModel;
import org.edgekit.demo.model.ModelSpec;

/** Lists the models, imports further ones and removes them again. */
public final class ModelsActivity extends Activity {
    private static final int REQUEST_ZIP = 1;

    private Workbench workbench;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        setContentView(R.layout.models);
        Insets.keepClear(findViewById(R.id.root));
        setActionBar(findViewById(R.id.toolbar));
        getActionBar().setDisplayHomeAsUpEnabled(true);
        workbench = ((DemoApplication) getApplication()).workbench();
        findViewById(R.id.import_model).setOnClickListener(view -> pick());
        list();
    }

    private void pick() {
        Intent intent = new Intent(Intent.ACTION_OPEN_DOCUMENT);
        intent.addCategory(Intent.CATEGORY_OPENABLE);
        // Some providers do not know that a zip is one.
        intent.setType("*/*");
        intent.putExtra(
                Intent.EXTRA_MIME_TYPES, new String[] {"application/zip", "application/octet-stream"});
        try {
            startActivityForResult(intent, REQUEST_ZIP);
        } catch (ActivityNotFoundException error) {
            say(getString(R.string.no_picker));
        }
    }

    @Override
    protected void onActivityResult(int request, int result, Intent data) {
        super.onActivityResult(request, result, data);
        if (result != RESULT_OK || data == null || data.getData() == null) {
            return;
        }
        say(getString(R.string.reading));
        workbench.importModels(
                getContentResolver(),
                data.getData(),
                new Listed<List<String>>() {
                    @Override
                    String describe(List<String> names) {
                        return getString(R.string.imported, TextUtils.join(", ", names));
                    }
                });
    }

    private void list() {
        workbench.readCatalogue(
                new Workbench.Reply<Workbench.Catalogue>() {
                    @Override
                    public void onResult(Workbench.Catalogue catalogue) {
                        show(catalogue);
                    }

                    @Override
                    public void onFailure(String message) {
                        show(new Workbench.Catalogue());
                        say(Messages.shown(getResources(), message));
                    }
                });
    }

    private void show(Workbench.Catalogue catalogue) {
        ((ViewGroup) findViewById(R.id.models)).removeAllViews();
        for (LoadedModel model : catalogue.models) {
            add(catalogue, model.directory, describe(model.spec));
        }
        for (Map.Entry<String, String> broken : catalogue.broken.entrySet()) {
            add(catalogue, broken.getKey(), Messages.shown(getResources(), broken.getValue()));
        }
    }

    private void add(Workbench.Catalogue catalogue, String name, String summary) {
        ViewGroup list = findViewById(R.id.models);
        boolean isImported = catalogue.imported.contains(name);
        View row = getLayoutInflater().inflate(R.layout.result_row, list, false);
        ((TextView) row.findViewById(R.id.result_title)).setText(name);
        String origin = getString(isImported ? R.string.is_imported : R.string.is_bundled);
        ((TextView) row.findViewById(R.id.result_summary)).setText(summary + "\n" + origin);
        if (isImported) {
            row.setOnClickListener(view -> askToRemove(name));
        } else {
            row.setBackground(null); // nothing happens at a touch
            row.setFocusable(true);
        }
        list.addView(row);
    }

    private String describe(ModelSpec spec) {
        Set<String> precisions = new LinkedHashSet<>();
        long bytes = 0;
        for (ArtifactSpec artifact : spec.artifacts) {
            precisions.add(artifact.precision);
            bytes += artifact.sizeBytes;
        }
        List<String> parts = new ArrayList<>();
        parts.add(getString(Figures.task(spec.task)));
        parts.add(TextUtils.join(", ", precisions));
        parts.add(Figures.megabytes(bytes));
        String text = TextUtils.join(" · ", parts);
        return spec.hasRandomWeights() ? text + "\n" + getString(R.string.random_weights) : text;
    }

    private void askToRemove(String name) {
        new AlertDialog.Builder(this)
                .setMessage(getString(R.string.remove_question, name))
                .setPositiveButton(
                        R.string.remove,
                        (dialog, which) ->
                                workbench.removeModel(
                                        name,
                                        new Listed<String>() {
                                            @Override
                                            String describe(String removed) {
                                                return getString(R.string.removed, removed);
                                            }
                                        }))
                .setNegativeButton(android.R.string.cancel, null)
                .show();
    }

    private void say(String text) {
        TextView view = findViewById(R.id.models_message);
        view.setText(text);
        view.setVisibility(View.VISIBLE);
    }

    /** Says how a change went, and lists the models anew. */
    private abstract class Listed<T> implements Workbench.Reply<T> {
        abstract String describe(T result);

        @Override
        public void onResult(T result) {
            say(describe(result));
            list();
        }

        @Override
        public void onFailure(String message) {
            say(Messages.shown(getResources(), message));
            list();
        }
    }
}
