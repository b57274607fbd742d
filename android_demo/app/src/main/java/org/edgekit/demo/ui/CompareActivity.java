package org.edgekit.demo.ui;

import android.app.Activity;
import android.content.Context;
import android.content.Intent;
import android.graphics.Bitmap;
import android.os.Bundle;
import android.view.View;
import android.view.ViewGroup;
import android.widget.TextView;
import java.util.ArrayList;
import java.util.List;
import org.edgekit.demo.R;
import org.edgekit.demo.engine.PowerMode;
import org.edgekit.demo.inference.Answer;
import org.edgekit.demo.inference.AnswerAgreement;
import org.edgekit.demo.inference.Configuration;
import org.edgekit.demo.inference.LatencySummary;
import org.edgekit.demo.inference.Prediction;
import org.edgekit.demo.model.LoadedModel;
import org.edgekit.demo.model.ModelSpec;

/** Answers one picture with every engine, precision and number of threads, one after the other. */
public final class CompareActivity extends Activity {
    private static final String FP32 = "fp32";

    /** One configuration; answer and latency, or the failure, once it has been asked. */
    private static final class Row {
        final Configuration configuration;
        View view;
        Answer answer;
        LatencySummary latency;
        String failure;

        Row(Configuration configuration) {
            this.configuration = configuration;
        }
    }

    private final List<Row> rows = new ArrayList<>();
    private final SweepJob.Listener sweepListener = this::next;
    private DemoApplication application;
    private Workbench workbench;
    private Bitmap picture;
    private int done;
    private boolean busy;
    private boolean started;

    static Intent intent(Context context, PictureSource picture) {
        Bundle source = new Bundle();
        picture.save(source);
        return new Intent(context, CompareActivity.class).putExtras(source);
    }

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        setContentView(R.layout.compare);
        Insets.keepClear(findViewById(R.id.root));
        setActionBar(findViewById(R.id.toolbar));
        getActionBar().setDisplayHomeAsUpEnabled(true);
        application = (DemoApplication) getApplication();
        workbench = application.workbench();
        workbench.readCatalogue(
                new Workbench.Reply<Workbench.Catalogue>() {
                    @Override
                    public void onResult(Workbench.Catalogue catalogue) {
                        Configuration chosen =
                                new SavedChoices(CompareActivity.this)
                                        .configuration(catalogue.models);
                        if (chosen != null) {
                            begin(chosen.model);
                        }
                    }

                    @Override
                    public void onFailure(String message) {
                        say(Messages.shown(getResources(), message));
                    }
                });
    }

    @Override
    protected void onStart() {
        super.onStart();
        started = true;
        application.sweepJob().listen(sweepListener);
        next();
    }

    @Override
    protected void onStop() {
        started = false;
        application.sweepJob().forget(sweepListener);
        super.onStop();
    }

    private void begin(LoadedModel model) {
        setTitle(model.spec.name);
        findViewById(R.id.compare_doubt)
                .setVisibility(model.spec.hasRandomWeights() ? View.VISIBLE : View.GONE);
        ViewGroup list = findViewById(R.id.compare_rows);
        for (Configuration configuration : configurations(model)) {
            Row row = new Row(configuration);
            row.view = getLayoutInflater().inflate(R.layout.compare_row, list, false);
            rows.add(row);
            list.addView(row.view);
            show(row);
        }
        PictureSource source = PictureSource.restore(getIntent().getExtras());
        workbench.read(
                () -> source.decode(model, workbench.store(), getContentResolver()),
                new Workbench.Reply<Bitmap>() {
                    @Override
                    public void onResult(Bitmap decoded) {
                        picture = decoded;
                        PictureView view = findViewById(R.id.picture);
                        view.setPicture(
                                PictureView.shrink(decoded), decoded.getWidth(), decoded.getHeight());
                        next();
                    }

                    @Override
                    public void onFailure(String message) {
                        say(Messages.shown(getResources(), message));
                    }
                });
    }

    /** Those of fp32 first, with which the others are compared. */
    private static List<Configuration> configurations(LoadedModel model) {
        List<Configuration> all = new ArrayList<>();
        for (boolean isReference : new boolean[] {true, false}) {
            for (Choices.Option option : Choices.options(model)) {
                if (option.artifact.precision.equals(FP32) == isReference) {
                    PowerMode mode = option.engine.powerModes().get(0);
                    for (int threads : Choices.threads()) {
                        all.add(new Configuration(
                                model, option.artifact, option.engine, threads, mode));
                    }
                }
            }
        }
        return all;
    }

    private void next() {
        if (application.sweepJob().isRunning()) {
            say(getString(R.string.busy_title) + ". " + getString(R.string.busy_step));
            return;
        }
        if (picture == null || busy || !started) {
            return;
        }
        if (done == rows.size()) {
            say(getString(rows.isEmpty() ? R.string.nothing_to_compare : R.string.compared));
            return;
        }
        busy = true;
        say(getString(R.string.comparing, done + 1, rows.size()));
        Row row = rows.get(done);
        workbench.answer(
                row.configuration,
                picture,
                new Workbench.Reply<Workbench.Outcome>() {
                    @Override
                    public void onResult(Workbench.Outcome outcome) {
                        row.answer = outcome.answer;
                        row.latency = outcome.latency;
                        advance();
                    }

                    @Override
                    public void onFailure(String message) {
                        row.failure = Messages.shown(getResources(), message);
                        advance();
                    }
                });
    }

    private void advance() {
        busy = false;
        done++;
        for (Row row : rows) {
            show(row);
        }
        next();
    }

    private void show(Row row) {
        Configuration configuration = row.configuration;
        String title =
                configuration.engine.title() + " · " + configuration.artifact.precision + " · "
                        + getResources().getQuantityString(
                                R.plurals.threads, configuration.threads, configuration.threads);
        TextView figures = row.view.findViewById(R.id.compare_figures);
        TextView verdict = row.view.findViewById(R.id.compare_verdict);
        ((TextView) row.view.findViewById(R.id.compare_title)).setText(title);
        figures.setText(row.latency == null ? "" : Figures.withSpread(row.latency));
        verdict.setText(verdict(row));
        verdict.setTextColor(
                getColor(row.failure == null ? R.color.on_surface_variant : R.color.error));
        ((SpreadBar) row.view.findViewById(R.id.compare_bar)).show(row.latency, longest());
        row.view.setContentDescription(title + ", " + figures.getText() + ", " + verdict.getText());
    }

    private double longest() {
        double longest = 0;
        for (Row row : rows) {
            if (row.latency != null) {
                longest = Math.max(
                        longest, row.latency.medianNs * (1 + row.latency.relativeSpread));
            }
        }
        return longest;
    }

    private String verdict(Row row) {
        if (row.failure != null) {
            return getString(R.string.failed, row.failure);
        }
        if (row.answer == null) {
            return getString(R.string.waiting);
        }
        Row reference = reference();
        if (reference == null) {
            return getString(R.string.no_reference);
        }
        if (reference == row) {
            return getString(R.string.is_reference);
        }
        boolean oneClass = row.configuration.model.spec.task.equals(ModelSpec.CLASSIFICATION);
        double share = AnswerAgreement.share(reference.answer, row.answer, oneClass);
        if (!oneClass) {
            return getString(R.string.agreement, Figures.percent(share));
        }
        Prediction best = row.answer.predictions.get(0);
        return getString(
                share == 1 ? R.string.same_answer : R.string.other_answer,
                best.label, Figures.percent(best.score));
    }

    /** The first one of fp32 that answered; null for none. */
    private Row reference() {
        for (Row row : rows) {
            if (row.answer != null && row.configuration.artifact.precision.equals(FP32)) {
                return row;
            }
        }
        return null;
    }

    private void say(String text) {
        ((TextView) findViewById(R.id.compare_progress)).setText(text);
    }
}
