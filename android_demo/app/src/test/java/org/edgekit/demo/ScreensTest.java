package org.edgekit.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;
import static org.robolectric.Shadows.shadowOf;

import android.Manifest;
import android.app.Activity;
import android.content.Intent;
import android.graphics.Rect;
import android.text.Layout;
import android.text.TextUtils;
import android.view.View;
import android.view.ViewGroup;
import android.widget.EditText;
import android.widget.TextView;
import android.widget.Toolbar;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import org.edgekit.demo.ui.BenchmarkActivity;
import org.edgekit.demo.ui.CompareActivity;
import org.edgekit.demo.ui.DemoApplication;
import org.edgekit.demo.ui.InfoActivity;
import org.edgekit.demo.ui.LicenceActivity;
import org.edgekit.demo.ui.LiveActivity;
import org.edgekit.demo.ui.MainActivity;
import org.edgekit.demo.ui.ModelsActivity;
import org.edgekit.demo.ui.PictureView;
import org.edgekit.demo.ui.ResultActivity;
import org.edgekit.demo.ui.ResultsActivity;
import org.edgekit.demo.vision.RgbImage;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;

/**
 * Every screen at four sizes, by day and night, with two sizes of font and in two languages: nothing leaves the
 * window, no word is cut, no text lies over another, what is touched is large enough, and a screen reader can name
 * it. Eight of the 32 combinations, which hold every pair of these, are kept as pictures.
 */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public class ScreensTest {
    private static final String[] SIZES = {"w320dp-h569dp", "w411dp-h891dp", "w800dp-h1280dp", "w1280dp-h800dp-land"};
    private static final String RESULT =
            "{\"started_at\": \"2024-01-02T03:04:05Z\", \"points\": [{\"model\": \"PPLCNet_x1_0_doc_ori\","
                    + " \"engine\": \"onnxruntime\", \"precision\": \"fp32\", \"requested_threads\": 1,"
                    + " \"status\": \"done\", \"processes\": [{\"samples_ns\": [1000000, 2000000]}]}]}";

    private final FakeFrames frames = new FakeFrames();
    private String combination;

    /** Whether pictures of the combination are kept. */
    private boolean isKept;

    @Test
    public void fitsAndCanBeTouchedAndRead() throws Exception {
        DemoApplication application = (DemoApplication) RuntimeEnvironment.getApplication();
        application.useFrames(activity -> frames);
        shadowOf(application).grantPermissions(Manifest.permission.CAMERA);
        File results = application.getExternalFilesDir("results");
        Files.write(new File(results, "kept.json").toPath(), RESULT.getBytes(StandardCharsets.UTF_8));
        for (int number = 0; number < 32; number++) {
            int size = number >> 3;
            int side = (number >> 2) & 1;
            int large = (number >> 1) & 1;
            int english = number & 1;
            combination =
                    (english == 1 ? "en-rUS-" : "zh-rCN-") + SIZES[size] + (side == 1 ? "-night-" : "-notnight-")
                            + (1 + large);
            // An orthogonal array: every pair of size, light, font and language is among the eight.
            isKept = large == (side ^ (size & 1)) && english == (side ^ (size >> 1));
            RuntimeEnvironment.setQualifiers(combination.substring(0, combination.length() - 1) + "hdpi");
            RuntimeEnvironment.setFontScale(1 + large);
            lookAtEveryScreen();
        }
    }

    private void lookAtEveryScreen() throws Exception {
        look(MainActivity.class, new Intent(), activity -> {
            Screen.awaitAnswers(activity);
            Screen.layOut(activity);
            View first = Screen.firstAnswer(activity);
            Rect seen = new Rect();
            assertTrue(combination, first.getGlobalVisibleRect(seen));
            assertEquals(combination + ": the first answer", first.getHeight(), seen.height());
        });
        frames.starts = 0;
        look(LiveActivity.class, new Intent(), activity -> {
            Screen.await("frames are asked for", () -> frames.starts == 1);
            frames.offer(RgbImage.blank(480, 640));
            PictureView view = activity.findViewById(R.id.live_picture);
            Screen.await("the frame is answered", () -> view.answer() != null);
        });
        look(CompareActivity.class, new Intent(), activity -> awaitRows(activity, R.id.compare_rows));
        look(BenchmarkActivity.class, new Intent(), activity -> awaitRows(activity, R.id.bench_models));
        look(ResultsActivity.class, new Intent(), activity -> awaitRows(activity, R.id.results));
        Intent opened = new Intent().putExtra("name", "kept.json");
        look(ResultActivity.class, opened, activity -> awaitRows(activity, R.id.points));
        look(ModelsActivity.class, new Intent(), activity -> awaitRows(activity, R.id.models));
        Intent[] licence = new Intent[1];
        look(InfoActivity.class, new Intent(), activity -> {
            Screen.await(
                    "the information is shown",
                    () -> Screen.text(activity, R.id.information_text).contains("SHA-256"));
            ((ViewGroup) activity.findViewById(R.id.licences)).getChildAt(0).performClick();
            licence[0] = shadowOf(activity).getNextStartedActivity();
        });
        look(LicenceActivity.class, licence[0], activity -> {});
    }

    private static void awaitRows(Activity activity, int id) {
        Screen.await("rows are shown", () -> ((ViewGroup) activity.findViewById(id)).getChildCount() > 0);
    }

    private interface Ready {
        void await(Activity activity) throws Exception;
    }

    private <T extends Activity> void look(Class<T> screen, Intent intent, Ready ready) throws Exception {
        ActivityController<T> controller = Robolectric.buildActivity(screen, intent).setup();
        Activity activity = controller.get();
        ready.await(activity);
        String name = screen.getSimpleName() + "-" + combination;
        Screen.layOut(activity);
        if (isKept) {
            Screen.capture(activity, name);
        }
        Rect window = Screen.place(activity.getWindow().getDecorView());
        float least = 48 * activity.getResources().getDisplayMetrics().density - 1;
        List<View> all = shown(activity.getWindow().getDecorView(), new ArrayList<>());
        checkApart(all, name);
        for (View view : all) {
            String what = name + ": " + describe(view);
            Rect place = Screen.place(view);
            assertTrue(what + " at " + place, place.left >= window.left && place.right <= window.right);
            if (isTouched(view)) {
                assertTrue(what + " is " + place, place.width() >= least && place.height() >= least);
                assertTrue(what + " has no name", !name(view).isEmpty());
            }
            if (view instanceof TextView && !isInToolbar(view)) {
                checkWhole((TextView) view, what);
            }
        }
        controller.pause().stop().destroy();
    }

    /** No text lies over another one. */
    private static void checkApart(List<View> all, String name) {
        List<View> texts = new ArrayList<>();
        List<Rect> places = new ArrayList<>();
        for (View view : all) {
            Rect seen = new Rect();
            if (view instanceof TextView && !TextUtils.isEmpty(((TextView) view).getText())
                    && view.getGlobalVisibleRect(seen)) {
                for (int other = 0; other < texts.size(); other++) {
                    assertFalse(
                            name + ": " + describe(view) + " over " + describe(texts.get(other)),
                            Rect.intersects(seen, places.get(other)));
                }
                texts.add(view);
                places.add(seen);
            }
        }
    }

    /** No line is cut short, and no text is higher than its view. */
    private static void checkWhole(TextView view, String what) {
        Layout layout = view.getLayout();
        if (layout == null || TextUtils.isEmpty(view.getText()) || view instanceof EditText) {
            return;
        }
        for (int line = 0; line < layout.getLineCount(); line++) {
            assertEquals(what, 0, layout.getEllipsisCount(line));
        }
        int room = view.getHeight() - view.getCompoundPaddingTop() - view.getCompoundPaddingBottom();
        assertTrue(what + ": " + layout.getHeight() + " in " + room, layout.getHeight() <= room + 1);
    }

    private static boolean isTouched(View view) {
        return (view.isClickable() || view.isLongClickable()) && view.isEnabled() && !isInToolbar(view)
                && !(view instanceof TextView && ((TextView) view).isTextSelectable());
    }

    private static boolean isInToolbar(View view) {
        for (View one = view; one != null; one = one.getParent() instanceof View ? (View) one.getParent() : null) {
            if (one instanceof Toolbar) {
                return true;
            }
        }
        return false;
    }

    /** What a screen reader says: its own words, or those inside it, or those of the label for it. */
    private static String name(View view) {
        if (!TextUtils.isEmpty(view.getContentDescription())) {
            return view.getContentDescription().toString();
        }
        StringBuilder text = new StringBuilder();
        if (view instanceof TextView) {
            text.append(((TextView) view).getText()).append(((TextView) view).getHint());
        }
        if (view instanceof ViewGroup) {
            for (int place = 0; place < ((ViewGroup) view).getChildCount(); place++) {
                text.append(name(((ViewGroup) view).getChildAt(place)));
            }
        }
        return text.toString();
    }

    private static List<View> shown(View view, List<View> into) {
        if (view.getVisibility() == View.VISIBLE && view.getWidth() > 0) {
            into.add(view);
            if (view instanceof ViewGroup) {
                for (int place = 0; place < ((ViewGroup) view).getChildCount(); place++) {
                    shown(((ViewGroup) view).getChildAt(place), into);
                }
            }
        }
        return into;
    }

    private static String describe(View view) {
        String id = view.getId() == View.NO_ID ? "" : "#" + Integer.toHexString(view.getId());
        try {
            id = view.getId() == View.NO_ID ? "" : view.getResources().getResourceEntryName(view.getId());
        } catch (android.content.res.Resources.NotFoundException error) {
            // made by the framework
        }
        String text = view instanceof TextView ? " \"" + ((TextView) view).getText() + "\"" : "";
        return view.getClass().getSimpleName() + " " + id + text;
    }
}
