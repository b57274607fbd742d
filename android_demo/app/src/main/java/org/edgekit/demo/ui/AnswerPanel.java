package org.edgekit.demo.ui;

import android.app.Activity;
import android.view.LayoutInflater;
import android.view.View;
import android.view.ViewGroup;
import android.widget.ProgressBar;
import android.widget.TextView;
import java.util.Locale;
import org.edgekit.demo.R;
import org.edgekit.demo.inference.Prediction;
import org.edgekit.demo.model.ModelSpec;

/** The best classes with their scores; below them the latency, and whether the answers mean anything. */
final class AnswerPanel {
    private static final int BAR_STEPS = 1000;

    private final Activity activity;

    AnswerPanel(Activity activity) {
        this.activity = activity;
    }

    void show(Workbench.Outcome outcome, ModelSpec model) {
        ViewGroup list = activity.findViewById(R.id.predictions);
        list.removeAllViews();
        LayoutInflater inflater = activity.getLayoutInflater();
        for (Prediction prediction : outcome.predictions) {
            View row = inflater.inflate(R.layout.prediction, list, false);
            ((TextView) row.findViewById(R.id.label)).setText(prediction.label);
            ((TextView) row.findViewById(R.id.score))
                    .setText(String.format(Locale.getDefault(), "%.1f %%", 100 * prediction.score));
            ((ProgressBar) row.findViewById(R.id.bar))
                    .setProgress((int) Math.round(BAR_STEPS * prediction.score));
            list.addView(row);
        }
        TextView latency = activity.findViewById(R.id.latency);
        String figures =
                activity.getString(
                        R.string.latency,
                        outcome.latency.medianNs / 1e6,
                        100 * outcome.latency.relativeSpread,
                        outcome.latency.count);
        latency.setText(
                model.hasRandomWeights()
                        ? activity.getString(R.string.random_weights, model.name) + "\n" + figures
                        : figures);
    }
}
