package org.edgekit.demo.ui;

import android.app.Activity;
import android.view.View;
import android.widget.AdapterView;
import android.widget.ArrayAdapter;
import android.widget.Spinner;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.edgekit.demo.R;
import org.edgekit.demo.engine.PowerMode;
import org.edgekit.demo.inference.Configuration;
import org.edgekit.demo.model.LoadedModel;

/** The four choices: model, engine with precision, threads, power mode. */
final class ConfigurationPanel {
    private final Activity activity;
    private final Runnable onChange;
    private final Spinner models;
    private final Spinner engines;
    private final Spinner threads;
    private final Spinner powerModes;

    private List<LoadedModel> catalogue = Collections.emptyList();
    private List<Choices.Option> options = Collections.emptyList();
    private List<PowerMode> modes = Collections.emptyList();
    private final SavedChoices saved;

    ConfigurationPanel(Activity activity, View choices, Runnable onChange) {
        this.activity = activity;
        this.onChange = onChange;
        saved = new SavedChoices(activity);
        models = choices.findViewById(R.id.model);
        engines = choices.findViewById(R.id.engine);
        threads = choices.findViewById(R.id.threads);
        powerModes = choices.findViewById(R.id.power_mode);
    }

    /** Fills the choices without reporting a change. */
    void setModels(List<LoadedModel> found) {
        catalogue = found;
        List<String> names = new ArrayList<>();
        for (LoadedModel model : found) {
            names.add(model.spec.name);
        }
        fill(models, names, saved.model(found), this::modelChosen);
        fill(threads, Choices.threads(), saved.threads(Choices.threads()), onChange);
        fillEngines();
    }

    /** The chosen model, or null while there is none to choose. */
    LoadedModel model() {
        int position = models.getSelectedItemPosition();
        return position >= 0 && position < catalogue.size() ? catalogue.get(position) : null;
    }

    /** The chosen configuration, or null where no engine of this flavour runs the model. */
    Configuration configuration() {
        if (options.isEmpty()) {
            return null;
        }
        Choices.Option option = options.get(engines.getSelectedItemPosition());
        Configuration configuration =
                new Configuration(
                        model(),
                        option.artifact,
                        option.engine,
                        (Integer) threads.getSelectedItem(),
                        modes.get(powerModes.getSelectedItemPosition()));
        saved.save(configuration);
        return configuration;
    }

    private void modelChosen() {
        fillEngines();
        onChange.run();
    }

    private void engineChosen() {
        fillPowerModes();
        onChange.run();
    }

    private void fillEngines() {
        LoadedModel model = model();
        options = model == null ? Collections.emptyList() : Choices.options(model);
        fill(engines, options, saved.option(options), this::engineChosen);
        fillPowerModes();
    }

    private void fillPowerModes() {
        modes =
                options.isEmpty()
                        ? Collections.emptyList()
                        : options.get(engines.getSelectedItemPosition()).engine.powerModes();
        fill(powerModes, modes, saved.powerMode(modes), onChange);
        powerModes.setEnabled(modes.size() > 1);
    }

    private <T> void fill(Spinner spinner, List<T> values, int chosen, Runnable changed) {
        ArrayAdapter<T> adapter =
                new ArrayAdapter<>(activity, R.layout.choice, values);
        adapter.setDropDownViewResource(R.layout.choice_item);
        spinner.setOnItemSelectedListener(null);
        spinner.setAdapter(adapter);
        int position = Math.min(chosen, values.size() - 1);
        if (position >= 0) {
            spinner.setSelection(position, false);
        }
        spinner.setOnItemSelectedListener(new OnOtherItem(position, changed));
    }

    /** Spinners also report the selection that the program made; only another one is a change. */
    private static final class OnOtherItem implements AdapterView.OnItemSelectedListener {
        private int last;
        private final Runnable changed;

        OnOtherItem(int position, Runnable changed) {
            last = position;
            this.changed = changed;
        }

        @Override
        public void onItemSelected(AdapterView<?> parent, View view, int position, long id) {
            if (position != last) {
                last = position;
                changed.run();
            }
        }

        @Override
        public void onNothingSelected(AdapterView<?> parent) {}
    }
}
