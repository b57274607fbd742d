package org.edgekit.demo;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;
import static org.robolectric.Shadows.shadowOf;

import android.content.ContentProviderClient;
import android.content.ContentResolver;
import android.content.Context;
import android.content.DialogInterface;
import android.content.Intent;
import android.net.Uri;
import android.os.BatteryManager;
import android.os.PowerManager;
import android.view.View;
import android.view.ViewGroup;
import android.widget.CheckBox;
import android.widget.EditText;
import android.widget.LinearLayout;
import android.widget.ListView;
import android.widget.TextView;
import java.io.DataInputStream;
import java.io.File;
import java.io.FileNotFoundException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.edgekit.demo.bench.BenchPlan;
import org.edgekit.demo.bench.Circumstances;
import org.edgekit.demo.ui.BenchmarkActivity;
import org.edgekit.demo.ui.DemoApplication;
import org.edgekit.demo.ui.InfoActivity;
import org.edgekit.demo.ui.LicenceActivity;
import org.edgekit.demo.ui.MainActivity;
import org.edgekit.demo.ui.PictureView;
import org.edgekit.demo.ui.ResultActivity;
import org.edgekit.demo.ui.ResultsActivity;
import org.edgekit.demo.ui.SweepJob;
import org.json.JSONArray;
import org.json.JSONObject;
import org.junit.Test;
import org.junit.experimental.categories.Category;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;
import org.robolectric.shadows.ShadowAlertDialog;

/** Sweeps by intent and by hand; the result file is read by the host's own code afterwards. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34, qualifiers = "w411dp-h891dp-xhdpi")
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public class BenchmarkActivityTest {
    @Test
    @Category(Smoke.class)
    public void runsTheHostsPlan() throws Exception {
        BenchmarkActivity activity = start(plan("host-run").putExtra(BenchPlan.EXTRA_THREADS, "1,2,64"));
        Screen.await("the sweep has ended", () -> !Screen.text(activity, R.id.bench_end).isEmpty());
        File result = resultFile("host-run.json");
        JSONObject document = new JSONObject(text(result));
        assertEquals("host-run", document.getString("run_id"));
        assertEquals("SERIAL", document.getJSONObject("target").getString("serial"));
        assertFalse(document.isNull("ended_at"));
        JSONArray points = document.getJSONArray("points");
        assertEquals(3, points.length());
        for (int index = 0; index < 2; index++) {
            JSONObject point = points.getJSONObject(index);
            assertEquals(point.toString(), "done", point.getString("status"));
            JSONObject process = point.getJSONArray("processes").getJSONObject(0);
            assertTrue(process.getJSONArray("samples_ns").length() >= 12);
            assertTrue(process.getInt("warmup_runs") >= 3);
            assertTrue(point.getJSONObject("parity").getBoolean("passed"));
        }
        assertEquals("skipped", points.getJSONObject(2).getString("status"));
        String kept = System.getProperty("edgekit.results");
        if (kept != null) {
            Files.copy(
                    result.toPath(),
                    new File(kept, "app.json").toPath(),
                    StandardCopyOption.REPLACE_EXISTING);
        }
        Screen.capture(activity, "benchmark");
    }

    @Test
    public void startsByHand() throws Exception {
        BenchmarkActivity activity = start(new Intent());
        Screen.await("models are offered", () -> !chips(activity, R.id.bench_models).isEmpty());
        assertEquals("[PPLCNet_x1_0_doc_ori]", chips(activity, R.id.bench_models).toString());
        ViewGroup threads = activity.findViewById(R.id.bench_threads);
        for (int place = 0; place < threads.getChildCount(); place++) {
            threads.getChildAt(place).performClick();
        }
        activity.findViewById(R.id.start).performClick();
        assertTrue(Screen.text(activity, R.id.bench_end).contains("Choose a model"));
        threads.getChildAt(0).performClick();
        ((EditText) activity.findViewById(R.id.bench_warmup)).setText("0");
        ((EditText) activity.findViewById(R.id.bench_repeats)).setText("3");
        activity.findViewById(R.id.start).performClick();
        Screen.await("the sweep has ended", () -> !Screen.text(activity, R.id.bench_end).isEmpty());
        assertTrue(Screen.text(activity, R.id.bench_end).contains("app-"));
        ViewGroup points = activity.findViewById(R.id.bench_points);
        assertEquals("one model, engine and number of threads", 1, points.getChildCount());
        String words = Screen.words(points);
        assertTrue(words, words.contains("PPLCNet_x1_0_doc_ori · ONNX Runtime fp32 · 1 thread"));
        assertTrue(words, words.contains("Unstable") || words.contains("Valid for this start"));
        Screen.capture(activity, "benchmark_by_hand");
    }

    /** The chips that are chosen stay so when the screen turns. */
    @Test
    public void keepsItsChips() {
        ActivityController<BenchmarkActivity> controller =
                Robolectric.buildActivity(BenchmarkActivity.class).setup();
        ViewGroup threads = controller.get().findViewById(R.id.bench_threads);
        assertTrue(((CheckBox) threads.getChildAt(0)).isChecked());
        threads.getChildAt(0).performClick();
        controller.recreate();
        threads = controller.get().findViewById(R.id.bench_threads);
        assertFalse(((CheckBox) threads.getChildAt(0)).isChecked());
    }

    private static List<String> chips(BenchmarkActivity activity, int id) {
        ViewGroup group = activity.findViewById(id);
        List<String> words = new ArrayList<>();
        for (int place = 0; place < group.getChildCount(); place++) {
            words.add(((CheckBox) group.getChildAt(place)).getText().toString());
        }
        return words;
    }

    /** Waits for the battery to cool, says so, and marks what is measured hidden and hot. */
    @Test
    public void waitsForACoolDeviceAndMarksWhatIsDoubtful() throws Exception {
        warm(412);
        ActivityController<BenchmarkActivity> controller =
                Robolectric.buildActivity(
                        BenchmarkActivity.class,
                        plan("doubtful").putExtra(BenchPlan.EXTRA_THREADS, "1,2")
                                .putExtra(BenchPlan.EXTRA_MAX_CELSIUS, "38"));
        BenchmarkActivity activity = controller.setup().get();
        Screen.await(
                "it waits",
                () -> Screen.text(activity, R.id.bench_current).contains("41.2 °C now, 38 °C wanted"));
        controller.pause().stop();
        shadowOf((PowerManager) activity.getSystemService(Context.POWER_SERVICE))
                .setCurrentThermalStatus(PowerManager.THERMAL_STATUS_SEVERE);
        warm(375);
        SweepJob job = ((DemoApplication) activity.getApplication()).sweepJob();
        Screen.await("the first point is done", () -> !job.lines().isEmpty());
        controller.start().resume();
        Screen.await("the sweep has ended", () -> !Screen.text(activity, R.id.bench_end).isEmpty());
        JSONArray points = new JSONObject(text(resultFile("doubtful.json"))).getJSONArray("points");
        JSONObject first = points.getJSONObject(0);
        assertEquals("throttled", first.getString("verdict"));
        assertEquals(
                new JSONArray(Arrays.asList(Circumstances.HOT, Circumstances.HIDDEN)).toString(),
                first.getJSONArray("reasons").toString());
        String shown = Screen.words(activity.findViewById(R.id.bench_points));
        assertTrue(shown, shown.contains("The app was hidden meanwhile"));
        assertTrue(shown, shown.contains("slowed itself down"));
    }

    private static void warm(int tenths) {
        RuntimeEnvironment.getApplication()
                .sendStickyBroadcast(
                        new Intent(Intent.ACTION_BATTERY_CHANGED)
                                .putExtra(BatteryManager.EXTRA_TEMPERATURE, tenths));
    }

    @Test
    public void keepsResultsToOpenShareAndDelete() throws Exception {
        BenchmarkActivity bench = start(plan("kept").putExtra(BenchPlan.EXTRA_THREADS, "1,64"));
        Screen.await("the sweep has ended", () -> !Screen.text(bench, R.id.bench_end).isEmpty());
        Files.write(resultFile("half.json").toPath(), new byte[] {'{'}); // is left out
        JSONObject earlier = new JSONObject(text(resultFile("kept.json")));
        earlier.put("started_at", "2020-02-20T20:20:20Z");
        JSONArray slow = new JSONArray(new long[] {1_000_000_000L, 1_000_000_000L});
        earlier.getJSONArray("points").getJSONObject(0).getJSONArray("processes").getJSONObject(0)
                .put("samples_ns", slow);
        Files.write(resultFile("earlier.json").toPath(), earlier.toString().getBytes(StandardCharsets.UTF_8));
        ActivityController<ResultsActivity> results = Robolectric.buildActivity(ResultsActivity.class);
        LinearLayout list = results.setup().get().findViewById(R.id.results);
        Screen.await("the results are listed", () -> list.getChildCount() > 0);
        assertEquals(2, list.getChildCount());
        assertEquals(
                "2 points · PPLCNet_x1_0_doc_ori",
                ((TextView) list.getChildAt(0).findViewById(R.id.result_summary)).getText().toString());
        Screen.capture(results.get(), "results");
        list.getChildAt(0).performClick();
        Intent opened = shadowOf(results.get()).getNextStartedActivity();
        ResultActivity result = Robolectric.buildActivity(ResultActivity.class, opened).setup().get();
        LinearLayout points = result.findViewById(R.id.points);
        Screen.await("the points are shown", () -> points.getChildCount() > 0);
        assertEquals(2, points.getChildCount());
        shadowOf(result).clickMenuItem(R.id.compare_results);
        Screen.await("the others are offered", () -> ShadowAlertDialog.getLatestAlertDialog() != null);
        shadowOf(ShadowAlertDialog.getLatestAlertDialog()).clickOnItem(0);
        String ratio = summary(points.getChildAt(0));
        assertTrue(ratio, ratio.matches("(?s).*0\\.[0-9]+ times the other's 1000 ms.*cannot be told.*"));
        assertFalse(summary(points.getChildAt(1)).contains("times"));
        Screen.capture(result, "result");
        shadowOf(result).clickMenuItem(R.id.share);
        Intent chooser = shadowOf(result).getNextStartedActivity();
        Intent send = chooser.getParcelableExtra(Intent.EXTRA_INTENT);
        assertEquals(Intent.ACTION_SEND, send.getAction());
        assertTrue((send.getFlags() & Intent.FLAG_GRANT_READ_URI_PERMISSION) != 0);
        checkLent(send.getParcelableExtra(Intent.EXTRA_STREAM), resultFile("kept.json"));
        shadowOf(result).clickMenuItem(R.id.delete);
        ShadowAlertDialog.getLatestAlertDialog().getButton(DialogInterface.BUTTON_POSITIVE).performClick();
        Screen.await("the result is deleted", () -> !resultFile("kept.json").exists());
        assertTrue(result.isFinishing());
        results.stop().start();
        Screen.await("the other one is left", () -> list.getChildCount() == 1);
        assertTrue(resultFile("earlier.json").delete());
        results.stop().start();
        Screen.await("nothing is listed", () -> list.getChildCount() == 0);
        assertTrue(Screen.isShown(results.get(), R.id.no_results));
    }

    private static String summary(View row) {
        return ((TextView) row.findViewById(R.id.point_summary)).getText().toString();
    }

    /** The provider lends the result for reading, and nothing else of the app's files. */
    private static void checkLent(Uri uri, File file) throws Exception {
        ContentResolver resolver = RuntimeEnvironment.getApplication().getContentResolver();
        byte[] lent = new byte[(int) file.length()];
        try (DataInputStream in = new DataInputStream(resolver.openInputStream(uri))) {
            in.readFully(lent);
        }
        assertArrayEquals(Files.readAllBytes(file.toPath()), lent);
        assertEquals("application/json", resolver.getType(uri));
        Uri outside = Uri.parse(uri.toString().replace("kept.json", "..%2Fkept.json"));
        try (ContentProviderClient provider = resolver.acquireContentProviderClient(uri)) {
            assertThrows(FileNotFoundException.class, () -> provider.openFile(outside, "r"));
            assertThrows(FileNotFoundException.class, () -> provider.openFile(uri, "w"));
        }
    }

    @Test
    public void stopsWhenAsked() throws Exception {
        BenchmarkActivity activity =
                start(plan("stopped").putExtra(BenchPlan.EXTRA_MIN_MS, "3600000")
                        .putExtra(BenchPlan.EXTRA_MAX_MS, "3600000"));
        assertTrue(Screen.text(activity, R.id.start).contains("Stop"));
        Screen.await("a point runs", () -> Screen.isShown(activity, R.id.bench_current));
        assertEquals(
                "1 of 1: PPLCNet_x1_0_doc_ori · ONNX Runtime · 1 thread",
                Screen.text(activity, R.id.bench_current));
        // The other screens say what they wait for, and answer when it has ended.
        MainActivity main = Robolectric.buildActivity(MainActivity.class).setup().get();
        String message = Screen.awaitError(main);
        assertTrue(message, message.contains("0 of 1 points are done"));
        assertNotNull(((PictureView) main.findViewById(R.id.picture)).picture());
        Screen.capture(main, "main_busy");
        activity.findViewById(R.id.start).performClick();
        Screen.await("it answers", () -> Screen.isShown(main, R.id.answers));
        Screen.await("the sweep has ended", () -> !Screen.text(activity, R.id.bench_end).isEmpty());
        JSONArray points = new JSONObject(text(resultFile("stopped.json"))).getJSONArray("points");
        assertTrue(points.length() <= 1);
        if (points.length() == 1) {
            assertEquals("interrupted", points.getJSONObject(0).getString("status"));
        }
    }

    @Test
    public void refusesANonsensicalPlanWhereTheHostSeesIt() throws Exception {
        start(plan("nonsense").putExtra(BenchPlan.EXTRA_THREADS, "1,two"));
        assertTrue(text(resultFile("nonsense.error")).contains("threads"));
    }

    @Test
    public void refusesAModelThatIsNotThere() throws Exception {
        BenchmarkActivity activity = start(plan("absent").putExtra(BenchPlan.EXTRA_MODELS, "Nobody"));
        Screen.await("the sweep has ended", () -> !Screen.text(activity, R.id.bench_end).isEmpty());
        assertTrue(text(resultFile("absent.error")).contains("Nobody"));
    }

    @Test
    public void writesNothingOutsideItsDirectory() throws Exception {
        BenchmarkActivity activity = start(plan("../escape"));
        assertTrue(Screen.text(activity, R.id.bench_end).contains("run_id"));
        assertFalse(new File(resultFile("x").getParentFile().getParentFile(), "escape.error").exists());
    }

    @Test
    public void tellsWhatIsInIt() throws Exception {
        InfoActivity activity = Robolectric.buildActivity(InfoActivity.class).setup().get();
        Screen.await(
                "the information is shown",
                () -> Screen.text(activity, R.id.information_text).contains("SHA-256"));
        String text = Screen.text(activity, R.id.information_text);
        assertTrue(text, text.contains("PPLCNet_x1_0_doc_ori"));
        assertTrue(text, text.contains("ONNX Runtime: 1.26.0"));
        Screen.capture(activity, "information");
        LinearLayout licences = activity.findViewById(R.id.licences);
        assertEquals("the app's and ONNX Runtime's", 2, licences.getChildCount());
        licences.getChildAt(1).performClick();
        Intent opened = shadowOf(activity).getNextStartedActivity();
        LicenceActivity licence =
                Robolectric.buildActivity(LicenceActivity.class, opened).setup().get();
        ListView paragraphs = licence.findViewById(R.id.paragraphs);
        assertEquals("MIT License", paragraphs.getAdapter().getItem(0));
        assertTrue(paragraphs.getAdapter().getCount() > 3);
    }

    private static Intent plan(String runId) {
        return new Intent(BenchPlan.ACTION)
                .putExtra(BenchPlan.EXTRA_RUN_ID, runId)
                .putExtra(BenchPlan.EXTRA_SERIAL, "SERIAL")
                .putExtra(BenchPlan.EXTRA_EDGEKIT_VERSION, "0.1.0")
                .putExtra(BenchPlan.EXTRA_MODELS, "PPLCNet_x1_0_doc_ori")
                .putExtra(BenchPlan.EXTRA_WARMUP, "3")
                .putExtra(BenchPlan.EXTRA_WARMUP_MS, "0")
                .putExtra(BenchPlan.EXTRA_REPEATS, "12")
                .putExtra(BenchPlan.EXTRA_MIN_MS, "0");
    }

    private static BenchmarkActivity start(Intent intent) {
        return Robolectric.buildActivity(BenchmarkActivity.class, intent).setup().get();
    }

    private static File resultFile(String name) {
        return new File(RuntimeEnvironment.getApplication().getExternalFilesDir("results"), name);
    }

    private static String text(File file) throws Exception {
        return new String(Files.readAllBytes(file.toPath()), StandardCharsets.UTF_8);
    }
}
