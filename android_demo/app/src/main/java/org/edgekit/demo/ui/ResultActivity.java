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
import org.edgekit.demo.R;
import org.edgekit.demo.bench.SavedResult;

/** Shows one result, shares and deletes it. */
public final class ResultActivity extends Activity {
    private static final String EXTRA_NAME = "name";

    private SavedResult result;

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
        setTitle(Figures.time(read.startedAt));
        ViewGroup list = findViewById(R.id.points);
        for (SavedResult.Point point : read.points) {
            View row = getLayoutInflater().inflate(R.layout.result_row, list, false);
            String threads =
                    getResources().getQuantityString(R.plurals.threads, point.threads, point.threads);
            ((TextView) row.findViewById(R.id.result_title))
                    .setText(
                            point.latency == null ? point.status : Figures.ms(point.latency.medianNs));
            String summary =
                    point.model + " · " + point.engine + " " + point.precision + " · " + threads;
            ((TextView) row.findViewById(R.id.result_summary))
                    .setText(summary + "\n" + detail(point));
            list.addView(row);
        }
    }

    private String detail(SavedResult.Point point) {
        if (point.latency == null) {
            return point.error == null ? "" : point.error;
        }
        String figures =
                getString(
                        R.string.latency,
                        Figures.ms(point.latency.medianNs),
                        100 * point.latency.relativeSpread,
                        point.latency.count);
        return Figures.isSteady(point.latency)
                ? figures
                : figures + "\n" + getString(R.string.unsteady);
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
