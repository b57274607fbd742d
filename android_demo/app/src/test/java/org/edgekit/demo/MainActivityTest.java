package org.edgekit.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;
import static org.junit.Assume.assumeNotNull;
import static org.robolectric.Shadows.shadowOf;

import android.app.Activity;
import android.content.Intent;
import android.net.Uri;
import android.provider.MediaStore;
import android.widget.Spinner;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.nio.file.Files;
import java.util.Arrays;
import org.edgekit.demo.ui.MainActivity;
import org.junit.Test;
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
    public void classifiesTheBundledSamples() throws Exception {
        MainActivity activity = start();
        assertEquals("0", Screen.labels(activity).get(0));
        assertTrue(Screen.text(activity, R.id.latency).contains("ms"));
        Screen.capture(activity, "main");
        activity.findViewById(R.id.sample).performClick();
        Screen.awaitAnswers(activity);
        assertEquals("90", Screen.labels(activity).get(0));
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
            assertEquals(
                    page.getName(),
                    page.getName().substring(0, page.getName().indexOf('_')),
                    Screen.labels(activity).get(0));
        }
    }

    @Test
    public void showsAnErrorForWhatIsNoPicture() throws Exception {
        MainActivity activity = start();
        pickFromGallery(activity, new byte[] {1, 2, 3}, "noise.jpg");
        assertTrue(Screen.awaitError(activity).contains("no picture"));
        activity.findViewById(R.id.sample).performClick();
        Screen.awaitAnswers(activity);
    }

    @Test
    public void lendsTheCameraAFileAndNeedsNoPermission() throws Exception {
        MainActivity activity = start();
        activity.findViewById(R.id.camera).performClick();
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
        String[] permissions =
                activity.getPackageManager()
                        .getPackageInfo(
                                activity.getPackageName(),
                                android.content.pm.PackageManager.GET_PERMISSIONS)
                        .requestedPermissions;
        assertTrue(permissions == null || permissions.length == 0);
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
        RuntimeEnvironment.setQualifiers("+w891dp-h411dp-land");
        controller.configurationChange();
        MainActivity turned = controller.get();
        Screen.awaitAnswers(turned);
        assertEquals("90", Screen.labels(turned).get(0));
        assertEquals(2, ((Spinner) turned.findViewById(R.id.threads)).getSelectedItem());
    }

    @Test
    @Config(qualifiers = "w891dp-h411dp-land-xhdpi")
    public void fitsALandscapeScreen() throws Exception {
        Screen.capture(start(), "main_land");
    }

    @Test
    @Config(qualifiers = "+night")
    public void isReadableAtNight() throws Exception {
        Screen.capture(start(), "main_night");
    }

    @Test
    public void isUsableWithLargeFonts() throws Exception {
        RuntimeEnvironment.setFontScale(2.0f);
        MainActivity activity = start();
        Screen.capture(activity, "main_large_font");
        assertFalse(Screen.labels(activity).isEmpty());
    }

    private static MainActivity start() {
        MainActivity activity = Robolectric.buildActivity(MainActivity.class).setup().get();
        Screen.awaitAnswers(activity);
        assertFalse("no model is broken", Screen.isShown(activity, R.id.broken_models));
        assertEquals(
                DOCUMENTS, ((Spinner) activity.findViewById(R.id.model)).getSelectedItem());
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
