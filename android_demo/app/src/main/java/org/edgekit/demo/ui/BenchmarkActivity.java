package org.edgekit.demo.ui;

import android.app.Activity;
import android.content.Intent;
import android.os.Bundle;
import android.text.TextUtils;
import android.view.Menu;
import android.view.MenuItem;
import android.view.View;
import android.view.ViewGroup;
import android.view.WindowManager;
import android.widget.Button;
import android.widget.EditText;
import android.widget.ProgressBar;
import android.widget.TextView;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import org.edgekit.demo.R;
import org.edgekit.demo.bench.BenchPlan;
import org.edgekit.demo.engine.Engine;
import org.edgekit.demo.engine.EngineCatalogue;
import org.edgekit.demo.engine.PowerMode;
import org.edgekit.demo.inference.Configuration;
import org.edgekit.demo.model.LoadedModel;

/** Runs a sweep, started here or by an intent of the host, and shows its points as they finish. */
public final class BenchmarkActivity extends Activity {
    private static final int[] GROUPS = {
        R.id.bench_models, R.id.bench_engines, R.id.bench_threads, R.id.bench_power
    };

    private final SweepJob.Listener listener = this::show;
    private SweepJob job;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        setContentView(R.layout.benchmark);
        Insets.keepClear(findViewById(R.id.root));
        setActionBar(findViewById(R.id.toolbar));
        getActionBar().setDisplayHomeAsUpEnabled(true);
        getWindow().addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON);
        job = ((DemoApplication) getApplication()).sweepJob();
        findViewById(R.id.start).setOnClickListener(view -> startOrStop());
        offerChoices(state);
        if (state == null) {
            startFrom(getIntent());
        }
    }

    @Override
    public boolean onCreateOptionsMenu(Menu menu) {
        getMenuInflater().inflate(R.menu.benchmark, menu);
        return true;
    }

    @Override
    public boolean onOptionsItemSelected(MenuItem item) {
        if (item.getItemId() == R.id.open_results) {
            startActivity(new Intent(this, ResultsActivity.class));
            return true;
        }
        return super.onOptionsItemSelected(item);
    }

    @Override
    protected void onNewIntent(Intent intent) {
        super.onNewIntent(intent);
        startFrom(intent);
    }

    @Override
    protected void onStart() {
        super.onStart();
        job.listen(listener);
        show();
    }

    @Override
    protected void onStop() {
        job.forget(listener);
        super.onStop();
    }

    @Override
    protected void onSaveInstanceState(Bundle state) {
        super.onSaveInstanceState(state);
        for (int group : GROUPS) {
            state.putStringArrayList(key(group), new ArrayList<>(chips(group).chosen()));
        }
    }

    /** Fills the chips: at first the model of the answers, every engine and every number of threads. */
    private void offerChoices(Bundle state) {
        List<String> counts = new ArrayList<>();
        for (int count : Choices.threads()) {
            counts.add(Integer.toString(count));
        }
        show(R.id.bench_threads, counts, counts, counts, state);
        List<String> engines = new ArrayList<>();
        List<String> titles = new ArrayList<>();
        Set<String> modes = new LinkedHashSet<>();
        for (Engine engine : EngineCatalogue.engines()) {
            engines.add(engine.name());
            titles.add(engine.title());
            for (PowerMode mode : engine.powerModes()) {
                modes.add(mode.name());
            }
        }
        show(R.id.bench_engines, engines, titles, engines, state);
        List<String> names = new ArrayList<>(modes);
        show(R.id.bench_power, names, names, modes.size() > 1 ? Collections.emptyList() : names, state);
        ((DemoApplication) getApplication()).workbench().readCatalogue(
                new Workbench.Reply<Workbench.Catalogue>() {
                    @Override
                    public void onResult(Workbench.Catalogue catalogue) {
                        List<String> models = new ArrayList<>();
                        List<String> directories = new ArrayList<>();
                        for (LoadedModel model : catalogue.models) {
                            models.add(model.spec.name);
                            directories.add(model.directory);
                        }
                        if (!models.isEmpty()) {
                            int first = new SavedChoices(BenchmarkActivity.this).model(catalogue.models);
                            show(R.id.bench_models, directories, models, directories.subList(first, first + 1), state);
                        }
                    }

                    @Override
                    public void onFailure(String message) {
                        job.fail("", message);
                    }
                });
    }

    private void show(int group, List<String> keys, List<String> titles, List<String> chosen, Bundle state) {
        List<String> kept = state == null ? null : state.getStringArrayList(key(group));
        chips(group).show(keys, titles, kept == null ? chosen : kept, group == R.id.bench_power);
        show();
    }

    private ChipGroup chips(int group) {
        return findViewById(group);
    }

    private static String key(int group) {
        return "chosen" + group;
    }

    /** The chosen keys with commas. */
    private String chosen(int group) {
        return TextUtils.join(",", chips(group).chosen());
    }

    private boolean lacksChoice() {
        for (int group : new int[] {R.id.bench_models, R.id.bench_engines, R.id.bench_threads}) {
            if (chips(group).getChildCount() > 0 && chips(group).chosen().isEmpty()) {
                return true;
            }
        }
        return false;
    }

    private void startFrom(Intent intent) {
        if (BenchPlan.ACTION.equals(intent.getAction())) {
            start(intent);
        }
    }

    private void startOrStop() {
        if (job.isRunning()) {
            job.cancel();
            return;
        }
        if (lacksChoice()) {
            ((TextView) findViewById(R.id.bench_end)).setText(R.string.nothing_chosen);
            return;
        }
        Intent plan = new Intent(BenchPlan.ACTION);
        plan.putExtra(
                BenchPlan.EXTRA_RUN_ID,
                "app-" + new java.text.SimpleDateFormat("yyyyMMdd-HHmmss", Locale.ROOT)
                        .format(new java.util.Date()));
        plan.putExtra(BenchPlan.EXTRA_MODELS, chosen(R.id.bench_models));
        plan.putExtra(BenchPlan.EXTRA_ENGINES, chosen(R.id.bench_engines));
        plan.putExtra(BenchPlan.EXTRA_THREADS, chosen(R.id.bench_threads));
        plan.putExtra(BenchPlan.EXTRA_POWER_MODE, chosen(R.id.bench_power));
        plan.putExtra(BenchPlan.EXTRA_WARMUP, text(R.id.bench_warmup));
        plan.putExtra(BenchPlan.EXTRA_REPEATS, text(R.id.bench_repeats));
        plan.putExtra(BenchPlan.EXTRA_MAX_CELSIUS, "0" + text(R.id.bench_celsius)); // empty: any
        start(plan);
    }

    private void start(Intent intent) {
        BenchPlan plan;
        try {
            plan = new BenchPlan(intent);
        } catch (IllegalArgumentException error) {
            String runId = intent.getStringExtra(BenchPlan.EXTRA_RUN_ID);
            job.fail(runId == null ? "" : runId, error.getMessage());
            show();
            return;
        }
        if (!job.start(plan)) {
            job.refuse(plan.runId, getString(R.string.sweep_running));
        }
        show();
    }

    private String text(int id) {
        return ((EditText) findViewById(id)).getText().toString();
    }

    private void show() {
        ((Button) findViewById(R.id.start))
                .setText(job.isRunning() ? R.string.stop : R.string.start);
        findViewById(R.id.bench_progress)
                .setVisibility(job.isRunning() ? View.VISIBLE : View.GONE);
        showCurrent();
        for (int group : GROUPS) {
            chips(group).setEnabled(!job.isRunning());
        }
        ViewGroup points = findViewById(R.id.bench_points);
        if (points.getChildCount() > job.lines().size()) {
            points.removeAllViews(); // those of the sweep before
        }
        for (int place = points.getChildCount(); place < job.lines().size(); place++) {
            PointRow.add(points, job.lines().get(place), "");
        }
        TextView end = findViewById(R.id.bench_end);
        if (job.failure() != null) {
            end.setText(Messages.shown(getResources(), job.failure()));
        } else if (job.result() != null) {
            end.setText(getString(R.string.result_file, job.result().getPath()));
        } else {
            end.setText("");
        }
    }

    private void showCurrent() {
        ProgressBar progress = findViewById(R.id.bench_progress);
        TextView current = findViewById(R.id.bench_current);
        if (job.isRunning() && job.waiting() != null) {
            current.setText(job.waiting());
            current.setVisibility(View.VISIBLE);
            progress.setIndeterminate(true);
            return;
        }
        boolean isMeasuring = job.isRunning() && job.configuration() != null;
        current.setVisibility(isMeasuring ? View.VISIBLE : View.GONE);
        progress.setIndeterminate(!isMeasuring);
        if (!isMeasuring) {
            return;
        }
        progress.setMax(job.all());
        progress.setProgress(job.current() - 1);
        Configuration point = job.configuration();
        String left = Figures.timeLeft(getResources(), job.leftMs());
        current.setText(
                getString(
                        R.string.bench_current,
                        job.current(),
                        job.all(),
                        point.model.spec.name,
                        point.engine.title(),
                        getResources()
                                .getQuantityString(
                                        R.plurals.threads, point.threads, point.threads))
                        + (left.isEmpty() ? "" : "\n" + left));
    }
}
