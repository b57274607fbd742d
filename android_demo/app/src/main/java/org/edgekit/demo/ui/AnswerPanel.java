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

/** The best classes with their scores, and the latency below them. */
final class AnswerPanel {
    private static final int BAR_STEPS = 1000;

    private final Activity activity;

    AnswerPanel(Activity activity) {
        this.activity = activity;
    }

    void show(Workbench.Outcome outcome) {
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
        latency.setText(
                activity.getString(
                        R.string.latency,
                        outcome.latency.medianNs / 1e6,
                        100 * outcome.latency.relativeSpread,
                        outcome.latency.count));
    }
}
