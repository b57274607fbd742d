package org.edgekit.demo.ui;

import android.app.Activity;
import android.view.LayoutInflater;
import android.view.View;
import android.view.ViewGroup;
import android.widget.ProgressBar;
import android.widget.TextView;
import java.util.List;
import org.edgekit.demo.R;
import org.edgekit.demo.inference.Answer;
import org.edgekit.demo.inference.Configuration;
import org.edgekit.demo.inference.Prediction;
import org.edgekit.demo.model.ModelSpec;

/** The best answer, large, and the next ones; below them what computed it, and how fast. */
final class AnswerPanel {
    private static final int BAR_STEPS = 1000;
    private static final int MOST_ROWS = 8;

    private final Activity activity;
    private final LayoutInflater inflater;
    private final ViewGroup list;

    AnswerPanel(Activity activity) {
        this.activity = activity;
        inflater = activity.getLayoutInflater();
        list = activity.findViewById(R.id.predictions);
    }

    void show(Workbench.Outcome outcome, Configuration configuration) {
        ModelSpec model = configuration.model.spec;
        list.removeAllViews();
        addAnswers(outcome.answer, model.task);
        activity.findViewById(R.id.doubt)
                .setVisibility(model.hasRandomWeights() ? View.VISIBLE : View.GONE);
        ((TextView) activity.findViewById(R.id.configuration))
                .setText(
                        activity.getString(
                                R.string.configuration,
                                Figures.ms(outcome.latency.medianNs),
                                configuration.engine.title(),
                                configuration.artifact.precision,
                                activity.getResources()
                                        .getQuantityString(
                                                R.plurals.threads,
                                                configuration.threads,
                                                configuration.threads)));
    }

    /** The figures of the last answer for those who want more than the median. */
    String describe(Workbench.Outcome outcome) {
        return activity.getString(
                R.string.latency,
                Figures.ms(outcome.latency.medianNs),
                100 * outcome.latency.relativeSpread,
                outcome.latency.count);
    }

    private void addAnswers(Answer answer, String task) {
        List<Prediction> predictions = answer.predictions;
        int count = predictions.size();
        int rows = Math.min(MOST_ROWS, count);
        if (task.equals(ModelSpec.CLASSIFICATION)) {
            addBest(predictions.get(0));
            for (Prediction next : predictions.subList(1, rows)) {
                addRow(next, answer);
            }
            return;
        }
        addText(R.layout.headline, headline(task, count));
        for (Prediction next : predictions.subList(0, rows)) {
            addRow(next, answer);
        }
        if (count > rows) {
            addText(R.layout.line, quantity(R.plurals.more_answers, count - rows));
        }
    }

    private String headline(String task, int count) {
        switch (task) {
            case ModelSpec.DETECTION:
                return count == 0
                        ? activity.getString(R.string.no_objects)
                        : quantity(R.plurals.objects, count);
            case ModelSpec.SEGMENTATION:
                return quantity(R.plurals.areas, count);
            default:
                return count == 0
                        ? activity.getString(R.string.no_labels)
                        : quantity(R.plurals.labels, count);
        }
    }

    private void addBest(Prediction best) {
        View row = inflater.inflate(R.layout.prediction_best, list, false);
        fill(row, best);
        list.addView(row);
    }

    private void addRow(Prediction prediction, Answer answer) {
        View row = inflater.inflate(R.layout.prediction, list, false);
        fill(row, prediction);
        ((ProgressBar) row.findViewById(R.id.bar))
                .setProgress((int) Math.round(BAR_STEPS * prediction.score));
        boolean isArea = answer.labelMap != null;
        if (isArea || prediction.corners != null) {
            // The colour in which it is drawn over the picture.
            View mark = row.findViewById(R.id.mark);
            mark.setVisibility(View.VISIBLE);
            mark.setBackgroundColor(
                    isArea
                            ? ClassColours.ofArea(prediction.classId)
                            : ClassColours.ofBox(prediction.classId));
        }
        list.addView(row);
    }

    /** Fills a row, which a screen reader takes as one thing. */
    private static void fill(View row, Prediction prediction) {
        String score = Figures.percent(prediction.score);
        ((TextView) row.findViewById(R.id.label)).setText(prediction.label);
        ((TextView) row.findViewById(R.id.score)).setText(score);
        row.setContentDescription(prediction.label + ", " + score);
        row.setFocusable(true);
    }

    private void addText(int layout, String text) {
        TextView view = (TextView) inflater.inflate(layout, list, false);
        view.setText(text);
        list.addView(view);
    }

    private String quantity(int plural, int count) {
        return activity.getResources().getQuantityString(plural, count, count);
    }
}
