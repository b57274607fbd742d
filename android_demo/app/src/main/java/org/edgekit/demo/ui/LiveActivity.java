package org.edgekit.demo.ui;

import android.Manifest;
import android.app.Activity;
import android.content.Intent;
import android.content.pm.PackageManager;
import android.graphics.Bitmap;
import android.net.Uri;
import android.os.Bundle;
import android.provider.Settings;
import android.view.TextureView;
import android.view.View;
import android.view.WindowManager;
import android.widget.TextView;
import java.util.List;
import java.util.Locale;
import org.edgekit.demo.R;
import org.edgekit.demo.inference.Answer;
import org.edgekit.demo.inference.Configuration;
import org.edgekit.demo.inference.Prediction;
import org.edgekit.demo.live.FrameSource;
import org.edgekit.demo.vision.RgbImage;

/** Answers what the camera sees, with the model and the engine chosen last; a tap holds the picture. */
public final class LiveActivity extends Activity implements LiveLoop.Screen {
    private static final int REQUEST_PERMISSION = 1;
    private static final int[] LINES = {R.id.live_first, R.id.live_second, R.id.live_third};

    private final SweepJob.Listener sweepListener = this::pauseDuringSweep;
    private DemoApplication application;
    private Configuration configuration;
    private PictureView view;
    private FrameSource source;
    private LiveLoop loop;
    private boolean frozen;
    private boolean started;
    private boolean asked;
    private Bitmap held;
    private String lastLabel;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        setContentView(R.layout.live);
        Insets.keepClear(findViewById(R.id.root));
        setActionBar(findViewById(R.id.toolbar));
        getActionBar().setDisplayHomeAsUpEnabled(true);
        getWindow().addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON);
        application = (DemoApplication) getApplication();
        view = findViewById(R.id.live_picture);
        view.setOnClickListener(tapped -> freeze());
        findViewById(R.id.live_settings).setOnClickListener(button -> openSettings());
    }

    @Override
    protected void onStart() {
        super.onStart();
        started = true;
        application.sweepJob().listen(sweepListener);
        if (checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED) {
            begin();
        } else if (!asked) {
            asked = true;
            requestPermissions(new String[] {Manifest.permission.CAMERA}, REQUEST_PERMISSION);
        }
    }

    @Override
    protected void onStop() {
        started = false;
        application.sweepJob().forget(sweepListener);
        if (loop != null) {
            loop.stop();
            source.stop();
            loop = null;
            source = null;
        }
        super.onStop();
    }

    @Override
    public void onRequestPermissionsResult(int request, String[] permissions, int[] results) {
        if (results.length > 0 && results[0] == PackageManager.PERMISSION_GRANTED) {
            begin();
        } else {
            showMessage(getString(R.string.camera_denied), true);
        }
    }

    private void begin() {
        application.workbench().readCatalogue(
                new Workbench.Reply<Workbench.Catalogue>() {
                    @Override
                    public void onResult(Workbench.Catalogue catalogue) {
                        begin(new SavedChoices(LiveActivity.this).configuration(catalogue.models));
                    }

                    @Override
                    public void onFailure(String message) {
                        showMessage(Messages.shown(getResources(), message), false);
                    }
                });
    }

    private void begin(Configuration chosen) {
        if (chosen == null || loop != null || !started) {
            return;
        }
        configuration = chosen;
        setTitle(chosen.model.spec.name);
        findViewById(R.id.live_doubt)
                .setVisibility(chosen.model.spec.hasRandomWeights() ? View.VISIBLE : View.GONE);
        source = application.frames(this);
        loop = new LiveLoop(application.workbench(), source, chosen, this);
        pauseDuringSweep();
        source.start((TextureView) findViewById(R.id.live_preview), loop);
    }

    /** A benchmark has the processor to itself. */
    private void pauseDuringSweep() {
        boolean isRunning = application.sweepJob().isRunning();
        if (isRunning) {
            showMessage(getString(R.string.busy_title) + ". " + getString(R.string.busy_step), false);
        } else {
            findViewById(R.id.live_message_box).setVisibility(View.GONE);
        }
        if (loop != null) {
            loop.setPaused(isRunning || frozen);
        }
    }

    private void freeze() {
        if (loop == null) {
            return;
        }
        frozen = !frozen;
        loop.setPaused(frozen || application.sweepJob().isRunning());
        if (frozen) {
            loop.showAgain();
        } else {
            view.setPicture(null, 0, 0);
        }
        findViewById(R.id.live_preview).setAlpha(frozen ? 0 : 1);
        ((TextView) findViewById(R.id.live_hint))
                .setText(frozen ? R.string.tap_to_go_on : R.string.tap_to_freeze);
    }

    @Override
    public void show(RgbImage picture, Answer answer, LiveLoop.Pace pace) {
        if (frozen) {
            held = PictureView.bitmap(picture, held);
            view.setPicture(held, picture.width, picture.height);
        } else {
            view.setClear(picture.width, picture.height);
        }
        view.setAnswer(answer);
        showTop(answer.predictions);
        ((TextView) findViewById(R.id.live_pace)).setText(describe(pace));
    }

    private void showTop(List<Prediction> best) {
        for (int rank = 0; rank < LINES.length; rank++) {
            TextView line = findViewById(LINES[rank]);
            boolean isThere = rank < best.size();
            line.setVisibility(isThere ? View.VISIBLE : View.GONE);
            if (isThere) {
                Prediction one = best.get(rank);
                line.setText(String.format(
                        Locale.getDefault(), "%s  %s", one.label, Figures.percent(one.score)));
            }
        }
        String label = best.isEmpty() ? getString(R.string.nothing_found) : best.get(0).label;
        if (!label.equals(lastLabel)) {
            // A screen reader says what is new, not twenty scores a second.
            lastLabel = label;
            findViewById(R.id.live_answers).setContentDescription(label);
        }
    }

    private String describe(LiveLoop.Pace pace) {
        return getString(
                R.string.live_pace,
                Figures.ms(pace.runNs()),
                pace.framesPerSecond(),
                configuration.engine.title(),
                configuration.artifact.precision);
    }

    @Override
    public void fail(String message) {
        showMessage(Messages.shown(getResources(), message), false);
    }

    private void showMessage(String message, boolean canAllow) {
        ((TextView) findViewById(R.id.live_message)).setText(message);
        findViewById(R.id.live_message_box).setVisibility(View.VISIBLE);
        findViewById(R.id.live_settings).setVisibility(canAllow ? View.VISIBLE : View.GONE);
    }

    private void openSettings() {
        asked = false; // what has been allowed there counts when the screen comes back
        startActivity(
                new Intent(
                        Settings.ACTION_APPLICATION_DETAILS_SETTINGS,
                        Uri.fromParts("package", getPackageName(), null)));
    }
}
