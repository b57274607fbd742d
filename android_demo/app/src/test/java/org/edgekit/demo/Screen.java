package org.edgekit.demo;

import static org.junit.Assert.assertTrue;
import static org.junit.Assert.fail;
import static org.robolectric.Shadows.shadowOf;

import android.app.Activity;
import android.graphics.Bitmap;
import android.graphics.Canvas;
import android.graphics.Rect;
import android.os.Looper;
import android.view.View;
import android.view.ViewGroup;
import android.widget.Spinner;
import android.widget.TextView;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BooleanSupplier;
import org.robolectric.shadows.ShadowDialog;

/** What a user does with a screen and sees on it. */
final class Screen {
    private static final long LIMIT_MS = 60_000;

    private Screen() {}

    /** Lets the main thread work until something is so; the worker's thread is a real one. */
    static void await(String what, BooleanSupplier condition) {
        long end = System.currentTimeMillis() + LIMIT_MS;
        while (!condition.getAsBoolean()) {
            if (System.currentTimeMillis() > end) {
                fail("waited in vain until " + what);
            }
            shadowOf(Looper.getMainLooper()).idle();
            try {
                Thread.sleep(5);
            } catch (InterruptedException error) {
                throw new AssertionError(error);
            }
        }
    }

    static void awaitAnswers(Activity activity) {
        await(
                "the answers or an error are shown",
                () -> isShown(activity, R.id.answers) || isShown(activity, R.id.error));
        assertTrue(text(activity, R.id.error_message), isShown(activity, R.id.answers));
    }

    static String awaitError(Activity activity) {
        await(
                "the answers or an error are shown",
                () -> isShown(activity, R.id.answers) || isShown(activity, R.id.error));
        assertTrue("answers are shown instead of an error", isShown(activity, R.id.error));
        return text(activity, R.id.error_message);
    }

    static boolean isShown(Activity activity, int id) {
        return activity.findViewById(id).getVisibility() == View.VISIBLE;
    }

    static String text(Activity activity, int id) {
        return ((TextView) activity.findViewById(id)).getText().toString();
    }

    /** Everything that a view and what is in it say, a text a line. */
    static String words(View view) {
        StringBuilder words = new StringBuilder();
        if (view instanceof TextView) {
            words.append(((TextView) view).getText()).append('\n');
        }
        if (view instanceof ViewGroup) {
            for (int place = 0; place < ((ViewGroup) view).getChildCount(); place++) {
                words.append(words(((ViewGroup) view).getChildAt(place)));
            }
        }
        return words.toString();
    }

    /** One of the choices, which lie in a pane or in a sheet that is opened for this. */
    static Spinner choice(Activity activity, int id) {
        View pane = activity.findViewById(id);
        if (pane == null) {
            if (!isSheetOpen()) {
                activity.findViewById(isShown(activity, R.id.error) ? R.id.error_change : R.id.change)
                        .performClick();
            }
            pane = sheet().findViewById(id);
        }
        return (Spinner) pane;
    }

    static boolean isSheetOpen() {
        return ShadowDialog.getLatestDialog() != null && ShadowDialog.getLatestDialog().isShowing();
    }

    /** The open sheet's outermost view. */
    static View sheet() {
        return ShadowDialog.getLatestDialog().getWindow().getDecorView();
    }

    /** A view's place in the window, pixels. */
    static Rect place(View view) {
        int[] corner = new int[2];
        view.getLocationInWindow(corner);
        return new Rect(
                corner[0], corner[1], corner[0] + view.getWidth(), corner[1] + view.getHeight());
    }

    /** The row of the first answer. */
    static View firstAnswer(Activity activity) {
        return ((ViewGroup) activity.findViewById(R.id.predictions)).getChildAt(0);
    }

    /** Labels of the predictions, best first. */
    static List<String> labels(Activity activity) {
        List<String> labels = new ArrayList<>();
        ViewGroup list = activity.findViewById(R.id.predictions);
        for (int index = 0; index < list.getChildCount(); index++) {
            TextView label = list.getChildAt(index).findViewById(R.id.label);
            if (label != null) { // not a headline
                labels.add(label.getText().toString());
            }
        }
        return labels;
    }

    /** The items of a spinner. */
    static List<String> choices(Activity activity, int id) {
        Spinner spinner = choice(activity, id);
        List<String> items = new ArrayList<>();
        for (int index = 0; index < spinner.getCount(); index++) {
            items.add(spinner.getItemAtPosition(index).toString());
        }
        return items;
    }

    /** Picks an item of a spinner by its text. */
    static void choose(Activity activity, int id, String item) {
        Spinner spinner = choice(activity, id);
        for (int index = 0; index < spinner.getCount(); index++) {
            if (spinner.getItemAtPosition(index).toString().equals(item)) {
                spinner.setSelection(index);
                spinner.measure(0, 0);
                spinner.layout(0, 0, spinner.getMeasuredWidth(), spinner.getMeasuredHeight());
                layOut(activity);
                shadowOf(Looper.getMainLooper()).idle();
                return;
            }
        }
        fail("no item " + item);
    }

    /** Draws the whole window to a PNG, with real fonts and pixels. */
    static void capture(Activity activity, String name) throws IOException {
        layOut(activity);
        capture(activity.getWindow().getDecorView(), name);
    }

    private static void capture(View view, String name) throws IOException {
        Bitmap bitmap =
                Bitmap.createBitmap(view.getWidth(), view.getHeight(), Bitmap.Config.ARGB_8888);
        view.draw(new Canvas(bitmap));
        File file = new File(System.getProperty("edgekit.screenshots"), name + ".png");
        try (OutputStream out = new FileOutputStream(file)) {
            assertTrue(bitmap.compress(Bitmap.CompressFormat.PNG, 100, out));
        }
        assertTrue(name + " is one colour", coloursOf(bitmap) > 8);
    }

    static void captureSheet(String name) throws IOException {
        shadowOf(Looper.getMainLooper()).idle();
        capture(sheet(), name);
    }

    static void layOut(Activity activity) {
        View view = activity.getWindow().getDecorView();
        int width = View.MeasureSpec.makeMeasureSpec(view.getWidth(), View.MeasureSpec.EXACTLY);
        int height = View.MeasureSpec.makeMeasureSpec(view.getHeight(), View.MeasureSpec.EXACTLY);
        view.measure(width, height);
        view.layout(0, 0, view.getMeasuredWidth(), view.getMeasuredHeight());
    }

    private static long coloursOf(Bitmap bitmap) {
        int[] pixels = new int[bitmap.getWidth() * bitmap.getHeight()];
        bitmap.getPixels(
                pixels, 0, bitmap.getWidth(), 0, 0, bitmap.getWidth(), bitmap.getHeight());
        return java.util.Arrays.stream(pixels).distinct().count();
    }
}
