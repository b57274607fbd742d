package org.edgekit.demo.ui;

import android.app.Activity;
import android.content.Intent;
import android.os.Bundle;
import android.view.View;
import android.view.WindowManager;
import android.widget.Button;
import android.widget.EditText;
import android.widget.TextView;
import java.util.Locale;
import org.edgekit.demo.R;
import org.edgekit.demo.bench.BenchPlan;
import org.edgekit.demo.bench.Sweep;

/** Runs a sweep, started here or by an intent of the host, and shows its points as they finish. */
public final class BenchmarkActivity extends Activity {
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
    protected void onNewIntent(Intent intent) {
        super.onNewIntent(intent);
        startFrom(intent);
    }

    @Override
    protected void onStart() {
        super.onStart();
        job.listen(this::show);
        show();
    }

    @Override
    protected void onStop() {
        job.listen(null);
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

    private String describe(Sweep.PointLine line) {
        String head =
                line.model + "\n" + line.engine + " · " + line.kind + " · "
                        + getResources().getQuantityString(
                                R.plurals.threads, line.threads, line.threads);
        if (line.latency == null) {
            return head + "\n" + line.status + (line.error == null ? "" : ": " + line.error);
        }
        return head + "\n"
                + getString(
                        R.string.latency,
                        Figures.ms(line.latency.medianNs),
                        100 * line.latency.relativeSpread,
                        line.latency.count);
    }
}
