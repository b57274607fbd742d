package org.edgekit.demo.ui;

import android.app.Activity;
import android.app.AlertDialog;
import android.content.ClipData;
import android.content.Context;
import android.content.Intent;
import android.net.Uri;
import android.os.Bundle;
import android.view.Menu;
import android.view.MenuItem;
import android.view.View;
import android.view.ViewGroup;
import android.widget.TextView;
import java.io.File;
import java.io.FileNotFoundException;
import java.util.ArrayList;
import java.util.List;
import org.edgekit.demo.R;
import org.edgekit.demo.bench.SavedResult;

/** Shows one result, shares and deletes it. */
public final class ResultActivity extends Activity {
    private static final String EXTRA_NAME = "name";

    private SavedResult result;

    /** The result with which this one is compared; null for none. */
    private SavedResult other;

    static Intent intent(Context context, String name) {
        return new Intent(context, ResultActivity.class).putExtra(EXTRA_NAME, name);
    }

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        setContentView(R.layout.result);
        Insets.keepClear(findViewById(R.id.root));
        setActionBar(findViewById(R.id.toolbar));
        getActionBar().setDisplayHomeAsUpEnabled(true);
        String name = getIntent().getStringExtra(EXTRA_NAME);
        ((DemoApplication) getApplication()).workbench().read(
                () -> {
                    File file = SavedResult.file(this, name);
                    if (file == null) {
                        throw new FileNotFoundException(name);
                    }
                    return SavedResult.read(file);
                },
                new Workbench.Reply<SavedResult>() {
                    @Override
                    public void onResult(SavedResult read) {
                        show(read);
                    }

                    @Override
                    public void onFailure(String message) {
                        finish(); // deleted meanwhile
                    }
                });
    }

    @Override
    public boolean onCreateOptionsMenu(Menu menu) {
        getMenuInflater().inflate(R.menu.result, menu);
        return true;
    }

    @Override
    public boolean onOptionsItemSelected(MenuItem item) {
        if (result != null && item.getItemId() == R.id.share) {
            share();
            return true;
        }
        if (result != null && item.getItemId() == R.id.compare_results) {
            pickOther();
            return true;
        }
        if (result != null && item.getItemId() == R.id.delete) {
            new AlertDialog.Builder(this)
                    .setMessage(R.string.delete_question)
                    .setPositiveButton(R.string.delete, (dialog, which) -> delete())
                    .setNegativeButton(android.R.string.cancel, null)
                    .show();
            return true;
        }
        return super.onOptionsItemSelected(item);
    }

    private void show(SavedResult read) {
        result = read;
        getActionBar().setSubtitle(Figures.time(read.startedAt));
        ViewGroup list = findViewById(R.id.points);
        list.removeAllViews();
        if (other != null) {
            TextView line = findViewById(R.id.compared_with);
            line.setText(getString(R.string.compared_with, Figures.time(other.startedAt)));
            line.setVisibility(View.VISIBLE);
        }
        for (SavedResult.Point point : read.points) {
            PointRow.add(list, point, ratio(point));
        }
    }

    /** Ratio to the other result's median. The app has one process a side, of which no verdict follows. */
    private String ratio(SavedResult.Point point) {
        if (other == null || point.latency == null) {
            return "";
        }
        SavedResult.Point before = other.matching(point);
        if (before == null || before.latency == null) {
            return "\n" + getString(R.string.no_counterpart);
        }
        return "\n" + getString(
                R.string.ratio,
                point.latency.medianNs / before.latency.medianNs,
                Figures.ms(before.latency.medianNs));
    }

    private void pickOther() {
        ((DemoApplication) getApplication()).workbench().read(
                () -> SavedResult.all(this),
                new Workbench.Reply<List<SavedResult>>() {
                    @Override
                    public void onResult(List<SavedResult> all) {
                        if (!isFinishing()) {
                            offer(all);
                        }
                    }

                    @Override
                    public void onFailure(String message) {
                        throw new IllegalStateException(message); // all() leaves out what it cannot read
                    }
                });
    }

    private void offer(List<SavedResult> all) {
        List<SavedResult> others = new ArrayList<>();
        List<String> titles = new ArrayList<>();
        for (SavedResult one : all) {
            if (!one.file.equals(result.file)) {
                others.add(one);
                titles.add(Figures.time(one.startedAt) + "\n" + one.file.getName());
            }
        }
        AlertDialog.Builder dialog = new AlertDialog.Builder(this).setTitle(R.string.compare_results);
        if (others.isEmpty()) {
            dialog.setMessage(R.string.no_other_result);
        } else {
            dialog.setItems(
                    titles.toArray(new String[0]),
                    (shown, which) -> {
                        other = others.get(which);
                        show(result);
                    });
        }
        dialog.setNegativeButton(android.R.string.cancel, null).show();
    }

    private void share() {
        Uri uri = CaptureProvider.uri(this, result);
        Intent send = new Intent(Intent.ACTION_SEND);
        send.setType("application/json");
        send.putExtra(Intent.EXTRA_STREAM, uri);
        send.setClipData(ClipData.newRawUri("", uri));
        send.addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION);
        startActivity(Intent.createChooser(send, null));
    }

    private void delete() {
        if (!result.file.delete()) {
            throw new IllegalStateException("deleting " + result.file + " failed");
        }
        finish();
    }
}
