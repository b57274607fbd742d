package org.edgekit.demo.ui;

import android.app.Activity;
import android.os.Bundle;
import android.view.View;
import android.view.ViewGroup;
import android.widget.TextView;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.edgekit.demo.R;
import org.edgekit.demo.bench.SavedResult;

/** Lists the results of earlier sweeps, the newest first. */
public final class ResultsActivity extends Activity {
    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        setContentView(R.layout.results);
        Insets.keepClear(findViewById(R.id.root));
        setActionBar(findViewById(R.id.toolbar));
        getActionBar().setDisplayHomeAsUpEnabled(true);
    }

    @Override
    protected void onStart() {
        super.onStart();
        ((DemoApplication) getApplication()).workbench().read(
                () -> SavedResult.all(this),
                new Workbench.Reply<List<SavedResult>>() {
                    @Override
                    public void onResult(List<SavedResult> results) {
                        show(results);
                    }

                    @Override
                    public void onFailure(String message) {
                        ((TextView) findViewById(R.id.no_results)).setText(message);
                    }
                });
    }

    private void show(List<SavedResult> results) {
        ViewGroup list = findViewById(R.id.results);
        list.removeAllViews();
        findViewById(R.id.no_results).setVisibility(results.isEmpty() ? View.VISIBLE : View.GONE);
        for (SavedResult result : results) {
            View row = getLayoutInflater().inflate(R.layout.result_row, list, false);
            ((TextView) row.findViewById(R.id.result_title)).setText(Figures.time(result.startedAt));
            Set<String> models = new LinkedHashSet<>();
            for (SavedResult.Point point : result.points) {
                models.add(point.model);
            }
            int count = result.points.size();
            ((TextView) row.findViewById(R.id.result_summary))
                    .setText(
                            getResources().getQuantityString(R.plurals.points, count, count) + " · "
                                    + android.text.TextUtils.join(", ", models));
            row.setOnClickListener(
                    view -> startActivity(ResultActivity.intent(this, result.file.getName())));
            list.addView(row);
        }
    }
}
