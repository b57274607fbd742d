package org.edgekit.demo.ui;

import android.app.Activity;
import android.view.LayoutInflater;
import android.view.View;
import android.view.ViewGroup;
import android.widget.ProgressBar;
import android.widget.TextView;
import java.util.List;
import java.util.Locale;
import org.edgekit.demo.R;
import org.edgekit.demo.inference.Prediction;
import org.edgekit.demo.model.ModelSpec;

/** Classes, boxes or areas with their scores; below them the latency, and whether the answers mean anything. */
final class AnswerPanel {
    private static final int BAR_STEPS = 1000;
    private static final int MOST_ROWS = 20;

    private final Activity activity;

    AnswerPanel(Activity activity) {
        this.activity = activity;
    }

    void show(Workbench.Outcome outcome, ModelSpec model) {
        ViewGroup list = activity.findViewById(R.id.predictions);
        list.removeAllViews();
        LayoutInflater inflater = activity.getLayoutInflater();
        List<Prediction> predictions = outcome.answer.predictions;
        if (predictions.isEmpty()) {
            list.addView(line(inflater, list, activity.getString(R.string.nothing_found)));
        }
        for (Prediction prediction :
                predictions.subList(0, Math.min(MOST_ROWS, predictions.size()))) {
            View row = inflater.inflate(R.layout.prediction, list, false);
            ((TextView) row.findViewById(R.id.label)).setText(prediction.label);
            ((TextView) row.findViewById(R.id.score))
                    .setText(String.format(Locale.getDefault(), "%.1f %%", 100 * prediction.score));
            ((ProgressBar) row.findViewById(R.id.bar))
                    .setProgress((int) Math.round(BAR_STEPS * prediction.score));
            mark(row.findViewById(R.id.mark), prediction, outcome);
            list.addView(row);
        }
        int more = predictions.size() - MOST_ROWS;
        if (more > 0) {
            list.addView(
                    line(
                            inflater,
                            list,
                            activity.getResources()
                                    .getQuantityString(R.plurals.more_answers, more, more)));
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

    /** The colour in which a box or an area is drawn over the picture. */
    private static void mark(View mark, Prediction prediction, Workbench.Outcome outcome) {
        boolean isArea = outcome.answer.labelMap != null;
        if (isArea || prediction.corners != null) {
            mark.setVisibility(View.VISIBLE);
            mark.setBackgroundColor(
                    isArea
                            ? ClassColours.ofArea(prediction.classId)
                            : ClassColours.ofBox(prediction.classId));
        }
    }

    private static View line(LayoutInflater inflater, ViewGroup list, String text) {
        TextView line = (TextView) inflater.inflate(R.layout.line, list, false);
        line.setText(text);
        return line;
    }
}
