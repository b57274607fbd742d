package org.edgekit.demo;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;
import static org.junit.Assume.assumeNotNull;
import static org.robolectric.Shadows.shadowOf;

import android.Manifest;
import android.app.Activity;
import android.content.Intent;
import android.content.pm.FeatureInfo;
import android.content.pm.PackageInfo;
import android.content.pm.PackageManager;
import android.graphics.Bitmap;
import android.graphics.Insets;
import android.graphics.Rect;
import android.net.Uri;
import android.provider.MediaStore;
import android.view.View;
import android.view.WindowInsets;
import android.widget.TextView;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.nio.file.Files;
import java.util.Arrays;
import org.edgekit.demo.ui.MainActivity;
import org.edgekit.demo.ui.PictureView;
import org.edgekit.demo.vision.PictureReader;
import org.junit.Test;
import org.junit.experimental.categories.Category;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;

/** The real activity with real inference: the first bundled model tells how a page is turned. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34, qualifiers = "w411dp-h891dp-xhdpi")
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public class MainActivityTest {
    private static final String DOCUMENTS = "PPLCNet_x1_0_doc_ori";

    @Test
    @Category(Smoke.class)
    public void classifiesTheBundledSamples() throws Exception {
        MainActivity activity = start();
        assertEquals("Upright (0°)", Screen.labels(activity).get(0));
        assertEquals(DOCUMENTS, Screen.choice(activity, R.id.model).getSelectedItem());
        String configuration = Screen.text(activity, R.id.configuration);
        assertTrue(configuration, configuration.matches("[0-9.]+ ms · ONNX Runtime fp32 · 1 thread"));
        assertFalse("the weights are trained", Screen.isShown(activity, R.id.doubt));
        Screen.capture(activity, "main");
        activity.findViewById(R.id.sample).performClick();
        Screen.awaitAnswers(activity);
        assertEquals("Turned right (90°)", Screen.labels(activity).get(0));
    }

    /** Pictures named CLASS_NUMBER.jpg in {@code edgekit.pictures}, handed over as a gallery does. */
    @Test
    public void classifiesPagesFromTheGallery() throws Exception {
        String directory = System.getProperty("edgekit.pictures");
        assumeNotNull(directory);
        MainActivity activity = start();
        File[] pages = new File(directory).listFiles((parent, name) -> name.endsWith(".jpg"));
        assertTrue(pages.length >= 4);
        Arrays.sort(pages);
        for (File page : pages) {
            pickFromGallery(activity, Files.readAllBytes(page.toPath()), page.getName());
            Screen.awaitAnswers(activity);
            String degrees = page.getName().substring(0, page.getName().indexOf('_'));
            String answer = Screen.labels(activity).get(0);
            assertTrue(page.getName() + ": " + answer, answer.endsWith("(" + degrees + "°)"));
            Bitmap shown = picture(activity).picture();
            assertTrue(
                    page.getName(),
                    (long) shown.getWidth() * shown.getHeight() <= PictureReader.MOST_DECODED_PIXELS);
        }
    }

    @Test
    @Config(qualifiers = "zh-rCN-w411dp-h891dp-xhdpi")
    public void saysAnErrorInChinese() throws Exception {
        MainActivity activity = start();
        pickFromGallery(activity, new byte[] {1, 2, 3}, "noise.jpg");
        assertEquals("\u8fd9\u4e0d\u662f Android \u80fd\u89e3\u7801\u7684\u56fe\u7247\u3002", Screen.awaitError(activity));
    }

    @Test
    public void showsAnErrorForWhatIsNoPicture() throws Exception {
        MainActivity activity = start();
        pickFromGallery(activity, new byte[] {1, 2, 3}, "noise.jpg");
        assertTrue(Screen.awaitError(activity).contains("no picture"));
        assertTrue(Screen.text(activity, R.id.error_step).contains("another picture"));
        assertNull("the old picture is gone", picture(activity).picture());
        Screen.capture(activity, "main_unreadable");
        activity.findViewById(R.id.sample).performClick();
        Screen.awaitAnswers(activity);
    }

    @Test
    public void lendsTheCameraAFileOnceItsPermissionIsGiven() throws Exception {
        MainActivity activity = start();
        activity.findViewById(R.id.camera).performClick();
        String[] asked = shadowOf(activity).getLastRequestedPermission().requestedPermissions;
        assertArrayEquals(new String[] {Manifest.permission.CAMERA}, asked);
        activity.onRequestPermissionsResult(
                3, asked, new int[] {PackageManager.PERMISSION_DENIED});
        assertTrue(Screen.awaitError(activity).contains("permission for the camera"));
        shadowOf(activity.getApplication()).grantPermissions(Manifest.permission.CAMERA);
        activity.onRequestPermissionsResult(
                3, asked, new int[] {PackageManager.PERMISSION_GRANTED});
        Intent intent = shadowOf(activity).getNextStartedActivityForResult().intent;
        assertEquals(MediaStore.ACTION_IMAGE_CAPTURE, intent.getAction());
        Uri target = intent.getParcelableExtra(MediaStore.EXTRA_OUTPUT);
        assertTrue((intent.getFlags() & Intent.FLAG_GRANT_WRITE_URI_PERMISSION) != 0);
        byte[] page = Files.readAllBytes(firstPage().toPath());
        try (java.io.OutputStream out = activity.getContentResolver().openOutputStream(target)) {
            out.write(page);
        }
        shadowOf(activity).receiveResult(intent, Activity.RESULT_OK, null);
        Screen.awaitAnswers(activity);
        PackageInfo app =
                activity.getPackageManager()
                        .getPackageInfo(
                                activity.getPackageName(),
                                PackageManager.GET_PERMISSIONS | PackageManager.GET_CONFIGURATIONS);
        assertArrayEquals(asked, app.requestedPermissions);
        for (FeatureInfo feature : app.reqFeatures) {
            assertEquals(feature.name, 0, feature.flags & FeatureInfo.FLAG_REQUIRED);
        }
    }

    @Test
    public void keepsPictureAndChoicesWhenTheScreenTurns() throws Exception {
        ActivityController<MainActivity> controller = Robolectric.buildActivity(MainActivity.class);
        MainActivity activity = controller.setup().get();
        Screen.awaitAnswers(activity);
        activity.findViewById(R.id.sample).performClick();
        Screen.awaitAnswers(activity);
        Screen.choose(activity, R.id.threads, "2");
        Screen.awaitAnswers(activity);
        MainActivity cold = start(); // nothing but what was saved
        assertEquals(2, Screen.choice(cold, R.id.threads).getSelectedItem());
        RuntimeEnvironment.setQualifiers("+w891dp-h411dp-land");
        controller.configurationChange();
        MainActivity turned = controller.get();
        Screen.awaitAnswers(turned);
        assertEquals("Turned right (90°)", Screen.labels(turned).get(0));
        assertEquals(2, Screen.choice(turned, R.id.threads).getSelectedItem());
    }

    @Test
    @Category(Smoke.class)
    @Config(qualifiers = "w320dp-h569dp-xhdpi")
    public void showsTheFirstAnswerOnASmallPhone() throws Exception {
        checkFirstAnswer("small", 1);
        checkFirstAnswer("small_large_font", 2);
    }

    @Test
    @Config(qualifiers = "w569dp-h320dp-land-xhdpi")
    public void showsTheFirstAnswerOnASmallPhoneSideways() throws Exception {
        checkFirstAnswer("small_land_large_font", 2);
    }

    @Test
    @Config(qualifiers = "w891dp-h411dp-land-xhdpi")
    public void showsTheFirstAnswerSideways() throws Exception {
        MainActivity activity = checkFirstAnswer("land", 1);
        // The choices have a pane, so that nothing opens.
        assertFalse(activity.findViewById(R.id.change_word).isShown());
        assertTrue(activity.findViewById(R.id.model).isShown());
        checkFirstAnswer("land_large_font", 2);
    }

    @Test
    @Config(qualifiers = "zh-rCN-w800dp-h1280dp-night-xhdpi")
    public void hasAPaneOnATabletAndSpeaksChinese() throws Exception {
        MainActivity activity = checkFirstAnswer("tablet_night_zh", 1);
        assertEquals("相册", Screen.text(activity, R.id.gallery));
        assertTrue(Screen.text(activity, R.id.configuration).endsWith("1 线程"));
        assertTrue(activity.findViewById(R.id.model).isShown());
    }

    /** The window reaches under the system's bars; what can be touched and read does not. */
    @Test
    @Config(qualifiers = "+night")
    public void opensTheChoicesAndStaysClearOfTheBars() throws Exception {
        MainActivity activity = checkFirstAnswer("night", 1);
        assertTrue(activity.findViewById(R.id.change_word).isShown());
        assertFalse(Screen.isSheetOpen());
        activity.findViewById(R.id.change).performClick();
        assertTrue(Screen.isSheetOpen());
        Screen.captureSheet("sheet_night");
        assertTrue(Screen.sheet().findViewById(R.id.model).isShown());
        View root = activity.findViewById(R.id.root);
        root.dispatchApplyWindowInsets(
                new WindowInsets.Builder()
                        .setSystemWindowInsets(Insets.of(10, 60, 20, 90))
                        .build());
        Screen.layOut(activity);
        Rect window = Screen.place(root);
        Rect sources = Screen.place(activity.findViewById(R.id.sources));
        assertEquals(window.bottom - 90, sources.bottom);
        assertEquals(window.left + 10, sources.left);
        assertEquals(window.right - 20, sources.right);
        assertEquals(window.top + 60, Screen.place(activity.findViewById(R.id.toolbar)).top);
    }

    /** The first answer lies whole inside the window, above the buttons; all that is touched is 48 dp. */
    private static MainActivity checkFirstAnswer(String name, float fontScale) throws Exception {
        RuntimeEnvironment.setFontScale(fontScale);
        MainActivity activity = start();
        Screen.capture(activity, "main_" + name);
        Rect window = Screen.place(activity.getWindow().getDecorView());
        Rect answer = Screen.place(Screen.firstAnswer(activity));
        Rect scroll = Screen.place((View) activity.findViewById(R.id.answers).getParent().getParent());
        assertTrue(name + ": " + answer, answer.height() > 0 && answer.width() > 0);
        assertTrue(name + ": " + answer + " in " + scroll, scroll.contains(answer));
        assertTrue(name + ": " + answer + " in " + window, window.contains(answer));
        assertTrue(name, Screen.place(picture(activity)).height() > window.height() / 5);
        float least = 48 * activity.getResources().getDisplayMetrics().density;
        for (int id : new int[] {R.id.gallery, R.id.camera, R.id.live, R.id.sample, R.id.change}) {
            View touched = activity.findViewById(id);
            assertTrue(name, touched.getHeight() >= least && touched.getWidth() >= least);
        }
        for (int id : new int[] {R.id.gallery, R.id.camera, R.id.live, R.id.sample}) {
            assertEquals(name + " breaks a word", 1, ((TextView) activity.findViewById(id)).getLineCount());
        }
        return activity;
    }

    private static PictureView picture(Activity activity) {
        return activity.findViewById(R.id.picture);
    }

    private static MainActivity start() {
        MainActivity activity = Robolectric.buildActivity(MainActivity.class).setup().get();
        Screen.awaitAnswers(activity);
        assertFalse("no model is broken", Screen.isShown(activity, R.id.broken_models));
        return activity;
    }

    private static File firstPage() {
        return new File(System.getProperty("edgekit.pictures"), "0_0.jpg");
    }

    private static void pickFromGallery(Activity activity, byte[] content, String name) {
        activity.findViewById(R.id.gallery).performClick();
        Intent asked = shadowOf(activity).getNextStartedActivityForResult().intent;
        assertEquals(Intent.ACTION_GET_CONTENT, asked.getAction());
        Uri uri = Uri.parse("content://gallery/" + name);
        shadowOf(activity.getContentResolver())
                .registerInputStreamSupplier(uri, () -> new ByteArrayInputStream(content));
        shadowOf(activity).receiveResult(asked, Activity.RESULT_OK, new Intent().setData(uri));
    }
}
