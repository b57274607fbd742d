package org.edgekit.demo.ui;

import android.app.Activity;
import android.content.Intent;
import android.os.Bundle;
import android.view.Menu;
import android.view.MenuItem;
import android.view.View;
import android.view.WindowManager;
import android.widget.Button;
import android.widget.EditText;
import android.widget.ProgressBar;
import android.widget.TextView;
import java.util.Locale;
import org.edgekit.demo.R;
import org.edgekit.demo.bench.BenchPlan;
import org.edgekit.demo.bench.Sweep;
import org.edgekit.demo.inference.Configuration;

/** Runs a sweep, started here or by an intent of the host, and shows its points as they finish. */
public final class BenchmarkActivity extends Activity {
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
        Intent plan = new Intent(BenchPlan.ACTION);
        plan.putExtra(
                BenchPlan.EXTRA_RUN_ID,
                "app-" + new java.text.SimpleDateFormat("yyyyMMdd-HHmmss", Locale.ROOT)
                        .format(new java.util.Date()));
        plan.putExtra(BenchPlan.EXTRA_THREADS, text(R.id.bench_threads));
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
        StringBuilder text = new StringBuilder();
        for (Sweep.PointLine line : job.lines()) {
            text.append(describe(line)).append("\n\n");
        }
        ((TextView) findViewById(R.id.bench_points)).setText(text);
        TextView end = findViewById(R.id.bench_end);
        if (job.failure() != null) {
            end.setText(job.failure());
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

    private String describe(Sweep.PointLine line) {
        String head =
                line.model + "\n" + line.engine + " · " + line.kind + " · "
                        + getResources().getQuantityString(
                                R.plurals.threads, line.threads, line.threads);
        if (line.latency == null) {
            return head + "\n" + getString(Figures.status(line.status))
                    + (line.error == null ? "" : ": " + line.error);
        }
        String figures =
                getString(
                        R.string.latency,
                        Figures.ms(line.latency.medianNs),
                        100 * line.latency.relativeSpread,
                        line.latency.count);
        return head + "\n" + figures + Figures.doubts(this, line.latency, line.reasons);
    }
}
