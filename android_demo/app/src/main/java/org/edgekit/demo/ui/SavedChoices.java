package org.edgekit.demo.ui;

import android.content.Context;
import android.content.SharedPreferences;
import java.util.List;
import org.edgekit.demo.engine.PowerMode;
import org.edgekit.demo.inference.Configuration;
import org.edgekit.demo.model.LoadedModel;

/** The last choices of model, engine, threads and power mode; every screen begins with them. */
final class SavedChoices {
    private static final String FILE = "choices";
    private static final String MODEL = "model";
    private static final String OPTION = "option";
    private static final String THREADS = "threads";
    private static final String POWER_MODE = "power_mode";

    private final SharedPreferences saved;

    SavedChoices(Context context) {
        saved = context.getSharedPreferences(FILE, Context.MODE_PRIVATE);
    }

    void save(Configuration configuration) {
        saved.edit()
                .putString(MODEL, configuration.model.directory)
                .putString(OPTION, new Choices.Option(configuration.engine, configuration.artifact).key())
                .putInt(THREADS, configuration.threads)
                .putString(POWER_MODE, configuration.powerMode.name())
                .apply();
    }

    /** Place of the saved model in a list; 0 where it is not there any more. */
    int model(List<LoadedModel> models) {
        for (int place = 0; place < models.size(); place++) {
            if (models.get(place).directory.equals(saved.getString(MODEL, null))) {
                return place;
            }
        }
        return 0;
    }

    int option(List<Choices.Option> options) {
        for (int place = 0; place < options.size(); place++) {
            if (options.get(place).key().equals(saved.getString(OPTION, null))) {
                return place;
            }
        }
        return 0;
    }

    int threads(List<Integer> counts) {
        return Math.max(0, counts.indexOf(saved.getInt(THREADS, 1)));
    }

    int powerMode(List<PowerMode> modes) {
        for (int place = 0; place < modes.size(); place++) {
            if (modes.get(place).name().equals(saved.getString(POWER_MODE, null))) {
                return place;
            }
        }
        return 0;
    }

    /** The saved configuration, or the nearest that exists; null where no engine runs the model. */
    Configuration configuration(List<LoadedModel> models) {
        LoadedModel model = models.isEmpty() ? null : models.get(model(models));
        List<Choices.Option> options = model == null ? null : Choices.options(model);
        if (options == null || options.isEmpty()) {
            return null;
        }
        Choices.Option option = options.get(option(options));
        List<Integer> counts = Choices.threads();
        List<PowerMode> modes = option.engine.powerModes();
        return new Configuration(
                model, option.artifact, option.engine,
                counts.get(threads(counts)), modes.get(powerMode(modes)));
    }
}
