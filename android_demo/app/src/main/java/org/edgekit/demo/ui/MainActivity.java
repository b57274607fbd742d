package org.edgekit.demo.ui;

import android.Manifest;
import android.app.Activity;
import android.content.ActivityNotFoundException;
import android.content.ClipData;
import android.content.Intent;
import android.content.pm.PackageManager;
import android.graphics.Bitmap;
import android.net.Uri;
import android.os.Bundle;
import android.provider.MediaStore;
import android.view.Menu;
import android.view.MenuItem;
import android.view.View;
import android.widget.TextView;
import java.util.HashMap;
import java.util.Map;
import org.edgekit.demo.R;
import org.edgekit.demo.inference.Configuration;
import org.edgekit.demo.model.LoadedModel;

/** Shows a picture and the chosen model's answer, or the error of the model. */
public final class MainActivity extends Activity {
    private static final String KEY_SHEET = "sheet";
    private static final int REQUEST_GALLERY = 1;
    private static final int REQUEST_CAMERA = 2;
    private static final int REQUEST_PERMISSION = 3;

    private static final int[] NEED_A_MODEL = {R.id.picture, R.id.sources};
    private static final Map<Integer, Class<?>> SCREENS = new HashMap<>();

    static {
        SCREENS.put(R.id.benchmark, BenchmarkActivity.class);
        SCREENS.put(R.id.open_results, ResultsActivity.class);
        SCREENS.put(R.id.open_models, ModelsActivity.class);
        SCREENS.put(R.id.information, InfoActivity.class);
    }

    private Workbench workbench;
    private ChoicesSheet choices;
    private ConfigurationPanel panel;
    private AnswerPanel answers;
    private PictureSource picture;

    private final SweepJob.Listener sweepListener = this::sweepChanged;
    private SweepJob sweepJob;

    /** True while the answer waits for the end of a sweep. */
    private boolean waits;

    /** Which state of the models is shown; -1 for none. */
    private int known = -1;

    /** Answers to questions asked before the last one are dropped. */
    private int question;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        setContentView(R.layout.main);
        Insets.keepClear(findViewById(R.id.root));
        setActionBar(findViewById(R.id.toolbar));
        workbench = ((DemoApplication) getApplication()).workbench();
        sweepJob = ((DemoApplication) getApplication()).sweepJob();
        picture = PictureSource.restore(state);
        answers = new AnswerPanel(this);
        choices = new ChoicesSheet(this);
        panel = new ConfigurationPanel(this, choices.choices(), this::classify);
        if (choices.opens()) {
            findViewById(R.id.change).setOnClickListener(view -> choices.open());
            findViewById(R.id.error_change).setOnClickListener(view -> choices.open());
        }
        findViewById(R.id.change_word).setVisibility(choices.opens() ? View.VISIBLE : View.GONE);
        if (state != null && state.getBoolean(KEY_SHEET)) {
            choices.open();
        }
        findViewById(R.id.gallery).setOnClickListener(view -> openGallery());
        findViewById(R.id.camera).setOnClickListener(view -> openCamera());
        findViewById(R.id.live)
                .setOnClickListener(view -> startActivity(new Intent(this, LiveActivity.class)));
        findViewById(R.id.sample).setOnClickListener(view -> nextSample());
    }

    @Override
    protected void onSaveInstanceState(Bundle state) {
        super.onSaveInstanceState(state);
        picture.save(state);
        state.putBoolean(KEY_SHEET, choices.isOpen());
    }

    @Override
    protected void onDestroy() {
        question++;
        choices.close();
        super.onDestroy();
    }

    @Override
    public boolean onCreateOptionsMenu(Menu menu) {
        getMenuInflater().inflate(R.menu.main, menu);
        return true;
    }

    @Override
    public boolean onOptionsItemSelected(MenuItem item) {
        if (item.getItemId() == R.id.compare) {
            startActivity(CompareActivity.intent(this, picture));
            return true;
        }
        Class<?> screen = SCREENS.get(item.getItemId());
        if (screen != null) {
            startActivity(new Intent(this, screen));
            return true;
        }
        return super.onOptionsItemSelected(item);
    }

    @Override
    protected void onActivityResult(int request, int result, Intent data) {
        super.onActivityResult(request, result, data);
        if (result != RESULT_OK) {
            return;
        }
        if (request == REQUEST_CAMERA) {
            picture = PictureSource.ofUri(CaptureProvider.uri(this));
        } else if (data != null && data.getData() != null) {
            picture = PictureSource.ofUri(data.getData());
        }
        classify();
    }

    @Override
    protected void onStart() {
        super.onStart();
        sweepJob.listen(sweepListener);
        if (known != workbench.changes()) {
            readCatalogue();
        } else {
            sweepChanged();
        }
    }

    @Override
    protected void onStop() {
        sweepJob.forget(sweepListener);
        super.onStop();
    }

    /** Answers as soon as the sweep, which has the processor to itself, has ended. */
    private void sweepChanged() {
        if (waits) {
            waits = false;
            classify(); // says anew how far the sweep is, or answers
        }
    }

    /** Reads what models there are; at the start, and when others have come or gone. */
    private void readCatalogue() {
        known = workbench.changes();
        show(R.id.progress);
        workbench.readCatalogue(
                new Workbench.Reply<Workbench.Catalogue>() {
                    @Override
                    public void onResult(Workbench.Catalogue catalogue) {
                        if (!isDestroyed()) {
                            showCatalogue(catalogue);
                        }
                    }

                    @Override
                    public void onFailure(String message) {
                        if (!isDestroyed()) {
                            showNothingToRun(Messages.shown(getResources(), message));
                        }
                    }
                });
    }

    private void showCatalogue(Workbench.Catalogue catalogue) {
        panel.setModels(catalogue.models);
        StringBuilder broken = new StringBuilder();
        for (Map.Entry<String, String> entry : catalogue.broken.entrySet()) {
            broken.append(broken.length() > 0 ? "\n\n" : "").append(Messages.shown(getResources(), entry.getValue()));
        }
        TextView warning = findViewById(R.id.broken_models);
        warning.setText(broken);
        warning.setVisibility(broken.length() > 0 ? View.VISIBLE : View.GONE);
        if (catalogue.models.isEmpty()) {
            warning.setVisibility(View.GONE);
            showNothingToRun(broken.toString());
        } else {
            for (int id : NEED_A_MODEL) {
                findViewById(id).setVisibility(View.VISIBLE);
            }
            choices.choices().setVisibility(View.VISIBLE);
            classify();
        }
    }

    private void classify() {
        LoadedModel model = panel.model();
        if (model == null) {
            return; // the catalogue is being read, or it has nothing to choose from
        }
        Configuration configuration = panel.configuration();
        if (configuration == null) {
            showError(R.string.error_title, getString(R.string.no_artifact, model.spec.name), 0);
            return;
        }
        int asked = ++question;
        PictureSource source = picture;
        show(R.id.progress);
        workbench.read(
                () -> source.decode(model, workbench.store(), getContentResolver()),
                new Current<Bitmap>(asked) {
                    @Override
                    void show(Bitmap bitmap) {
                        view().setPicture(PictureView.shrink(bitmap), bitmap.getWidth(), bitmap.getHeight());
                        ask(asked, configuration, bitmap);
                    }

                    @Override
                    void showFailure(String message) {
                        // The last picture would seem to be the one that cannot be read.
                        view().setPicture(null, 0, 0);
                        showError(R.string.unreadable_title, message, R.string.unreadable_step);
                    }
                });
    }

    private PictureView view() {
        return findViewById(R.id.picture);
    }

    private void ask(int asked, Configuration configuration, Bitmap bitmap) {
        if (sweepJob.isRunning()) {
            showError(
                    R.string.busy_title,
                    getString(R.string.busy, sweepJob.lines().size(), sweepJob.all()),
                    R.string.busy_step);
            waits = true;
            return;
        }
        workbench.answer(
                configuration,
                bitmap,
                new Current<Workbench.Outcome>(asked) {
                    @Override
                    void show(Workbench.Outcome outcome) {
                        view().setAnswer(outcome.answer);
                        answers.show(outcome, configuration);
                        TextView latency = choices.choices().findViewById(R.id.latency);
                        latency.setText(answers.describe(outcome));
                        MainActivity.this.show(R.id.answers);
                    }
                });
    }

    private void nextSample() {
        LoadedModel model = panel.model();
        if (model != null) {
            int next = picture.isSample() ? picture.sampleIndex(model) + 1 : 0;
            picture = PictureSource.ofSample(next);
            classify();
        }
    }

    private void openGallery() {
        Intent intent = new Intent(Intent.ACTION_GET_CONTENT);
        intent.addCategory(Intent.CATEGORY_OPENABLE);
        intent.setType("image/*");
        open(intent, REQUEST_GALLERY, R.string.no_gallery);
    }

    /** The camera app needs no permission of ours, but Android wants one that is declared to be granted. */
    private void openCamera() {
        if (checkSelfPermission(Manifest.permission.CAMERA) != PackageManager.PERMISSION_GRANTED) {
            requestPermissions(new String[] {Manifest.permission.CAMERA}, REQUEST_PERMISSION);
            return;
        }
        Uri target = CaptureProvider.uri(this);
        Intent intent = new Intent(MediaStore.ACTION_IMAGE_CAPTURE);
        intent.putExtra(MediaStore.EXTRA_OUTPUT, target);
        intent.setClipData(ClipData.newRawUri("", target));
        intent.addFlags(
                Intent.FLAG_GRANT_WRITE_URI_PERMISSION | Intent.FLAG_GRANT_READ_URI_PERMISSION);
        open(intent, REQUEST_CAMERA, R.string.no_camera);
    }

    @Override
    public void onRequestPermissionsResult(int request, String[] permissions, int[] results) {
        if (results.length > 0 && results[0] == PackageManager.PERMISSION_GRANTED) {
            openCamera();
        } else {
            showError(
                    R.string.error_title,
                    getString(R.string.camera_denied),
                    R.string.unreadable_step);
        }
    }

    private void open(Intent intent, int request, int absent) {
        try {
            startActivityForResult(intent, request);
        } catch (ActivityNotFoundException error) {
            showError(R.string.error_title, getString(absent), 0);
        }
    }

    /**
     * Shows an error.
     *
     * @param step what to do next; 0 where the message says it
     */
    private void showError(int title, String message, int step) {
        ((TextView) findViewById(R.id.error_title)).setText(title);
        TextView text = findViewById(R.id.error_message);
        text.setText(message);
        text.setTextColor(getColor(title == R.string.busy_title ? R.color.on_surface : R.color.error));
        // Another model helps against a model's fault only.
        boolean isModels = title == R.string.error_title && choices.opens();
        findViewById(R.id.error_change).setVisibility(isModels ? View.VISIBLE : View.GONE);
        TextView next = findViewById(R.id.error_step);
        next.setVisibility(step == 0 ? View.GONE : View.VISIBLE);
        if (step != 0) {
            next.setText(step);
        }
        show(R.id.error);
    }

    /** Without a model there is nothing to choose and no use for a picture. */
    private void showNothingToRun(String message) {
        showError(R.string.error_title, message, 0);
        for (int id : NEED_A_MODEL) {
            findViewById(id).setVisibility(View.GONE);
        }
        findViewById(R.id.error_change).setVisibility(View.GONE);
        choices.choices().setVisibility(View.GONE);
    }

    private void show(int shown) {
        for (int id : new int[] {R.id.progress, R.id.answers, R.id.error}) {
            findViewById(id).setVisibility(id == shown ? View.VISIBLE : View.GONE);
        }
    }

    /** An answer that is dropped once another question has been asked. */
    private abstract class Current<T> implements Workbench.Reply<T> {
        private final int asked;

        Current(int asked) {
            this.asked = asked;
        }

        abstract void show(T result);

        void showFailure(String message) {
            view().setAnswer(null);
            showError(R.string.error_title, message, 0);
        }

        @Override
        public final void onResult(T result) {
            if (asked == question) {
                show(result);
            }
        }

        @Override
        public final void onFailure(String message) {
            if (asked == question) {
                showFailure(Messages.shown(getResources(), message));
            }
        }
    }
}
