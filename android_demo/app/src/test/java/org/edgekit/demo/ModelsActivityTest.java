package org.edgekit.demo;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;
import static org.robolectric.Shadows.shadowOf;

import android.app.Activity;
import android.content.DialogInterface;
import android.content.Intent;
import android.net.Uri;
import android.view.View;
import android.view.ViewGroup;
import android.widget.TextView;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.InputStream;
import java.util.Arrays;
import org.edgekit.demo.model.ModelException;
import org.edgekit.demo.model.ModelImport;
import org.edgekit.demo.ui.CompareActivity;
import org.edgekit.demo.ui.DemoApplication;
import org.edgekit.demo.ui.MainActivity;
import org.edgekit.demo.ui.ModelsActivity;
import org.json.JSONObject;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;
import org.robolectric.shadows.ShadowAlertDialog;

/** Models come by a zip and go again; what is no right zip leaves nothing behind. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34, qualifiers = "w411dp-h891dp-xhdpi")
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public class ModelsActivityTest {
    private static final String DOCUMENTS = "PPLCNet_x1_0_doc_ori";

    private ModelsActivity activity;

    @Test
    public void importsAModelAnswersComparesAndRemovesIt() throws Exception {
        ActivityController<MainActivity> main = Robolectric.buildActivity(MainActivity.class).setup();
        Screen.awaitAnswers(main.get());
        main.pause().stop();
        open();
        assertEquals(Arrays.asList(DOCUMENTS), names());
        pick(new ModelZip(DOCUMENTS).addBroken("int8").open());
        assertEquals("Imported: " + ModelZip.NAME, message());
        assertEquals(Arrays.asList(DOCUMENTS, ModelZip.NAME), names());
        Screen.capture(activity, "models");
        pick(new ModelZip(DOCUMENTS).open());
        assertTrue(message(), message().contains("is there already"));

        // The other screens have it.
        main.start().resume();
        Screen.awaitAnswers(main.get());
        Screen.choose(main.get(), R.id.model, ModelZip.NAME);
        Screen.awaitAnswers(main.get());
        assertEquals("Upright (0°)", Screen.labels(main.get()).get(0));
        main.get().findViewById(R.id.sample).performClick();
        Screen.awaitAnswers(main.get());
        checkComparison(main.get());

        // It goes, and the choice falls back to the bundled one.
        main.pause().stop();
        ViewGroup list = activity.findViewById(R.id.models);
        list.getChildAt(1).performClick();
        ShadowAlertDialog.getLatestAlertDialog().getButton(DialogInterface.BUTTON_POSITIVE).performClick();
        Screen.await("it is removed", () -> message().equals("Removed: " + ModelZip.NAME));
        Screen.await("the list is new", () -> list.getChildCount() == 1);
        assertEquals(0, imported().list().length);
        main.start().resume();
        Screen.awaitAnswers(main.get());
        assertEquals(1, Screen.choices(main.get(), R.id.model).size());
    }

    /** This picture with two precisions and up to two numbers of threads; one precision does not load. */
    private static void checkComparison(MainActivity main) throws Exception {
        shadowOf(main).clickMenuItem(R.id.compare);
        Intent opened = shadowOf(main).getNextStartedActivity();
        CompareActivity compare =
                Robolectric.buildActivity(CompareActivity.class, opened).setup().get();
        Screen.await(
                "all is compared",
                () -> Screen.text(compare, R.id.compare_progress).startsWith("Medians"));
        ViewGroup rows = compare.findViewById(R.id.compare_rows);
        int working = rows.getChildCount() / 2;
        for (int place = 0; place < rows.getChildCount(); place++) {
            View row = rows.getChildAt(place);
            String said = row.getContentDescription().toString();
            if (place == 0) {
                assertTrue(said, said.contains("with which the others are compared"));
            } else if (place < working) {
                assertTrue(said, said.contains("Same answer as fp32: Turned right (90°), "));
            } else {
                assertTrue(said, said.contains("Failed: ONNX Runtime does not load the model"));
            }
            assertEquals(said, place < working, said.matches(".* [0-9.]+ ms ±[0-9]+ %.*"));
        }
        Screen.capture(compare, "compare");
    }

    @Test
    public void refusesWhatIsNoRightZip() throws Exception {
        open();
        refuse(new ByteArrayInputStream(new byte[] {1, 2, 3}), "no zip with a model");
        for (String place : new String[] {"../escape", "a/../../escape", "/etc/passwd", "a/b/c", "a/.b", "a\\b"}) {
            ModelZip zip = new ModelZip(DOCUMENTS);
            zip.files.put(place, new byte[1]);
            refuse(zip.open(), "holds \"" + place + "\"");
        }
        ModelZip damaged = new ModelZip(DOCUMENTS);
        damaged.files.get(ModelZip.NAME + "/" + artifact(damaged))[100] ^= 1;
        refuse(damaged.open(), "is damaged");
        ModelZip sample = new ModelZip(DOCUMENTS);
        String picture = sample.model().getJSONArray("samples").getJSONObject(0).getString("file");
        sample.files.remove(ModelZip.NAME + "/" + picture);
        refuse(sample.open(), picture + " cannot be read");
        ModelZip renamed = new ModelZip(DOCUMENTS);
        renamed.put(renamed.model().put("name", "another"));
        refuse(renamed.open(), "describes another model");
        ModelZip outside = new ModelZip(DOCUMENTS);
        JSONObject model = outside.model();
        model.getJSONArray("artifacts").getJSONObject(0).put("file", "../" + artifact(outside));
        outside.put(model);
        refuse(outside.open(), "no plain file name");
        refuseEndless();
        File[] left = imported().listFiles();
        assertEquals(Arrays.toString(left), 0, left.length);
        assertFalse(new File(imported().getParentFile(), "escape").exists());
        assertEquals(Arrays.asList(DOCUMENTS), names());
    }

    private void refuse(InputStream zip, String part) {
        pick(zip);
        assertTrue(message(), message().contains(part));
    }

    private static String artifact(ModelZip zip) throws Exception {
        return zip.model().getJSONArray("artifacts").getJSONObject(0).getString("file");
    }

    /** A small zip of zeros that unpacks to more than is allowed. */
    private void refuseEndless() throws Exception {
        long most = 4 << 20;
        java.io.ByteArrayOutputStream out = new java.io.ByteArrayOutputStream();
        try (java.util.zip.ZipOutputStream zip = new java.util.zip.ZipOutputStream(out)) {
            zip.putNextEntry(new java.util.zip.ZipEntry("a/zeros"));
            byte[] zeros = new byte[1 << 20];
            for (long size = 0; size <= most; size += zeros.length) {
                zip.write(zeros);
            }
            zip.closeEntry();
        }
        assertTrue(out.size() < most / 100);
        DemoApplication application = (DemoApplication) activity.getApplication();
        ModelImport small = new ModelImport(application.workbench().store(), imported(), most);
        ModelException refused =
                assertThrows(
                        ModelException.class,
                        () -> small.read(new ByteArrayInputStream(out.toByteArray())));
        assertEquals("The zip unpacks to more than 4 MiB", refused.getMessage());
    }

    private void open() {
        activity = Robolectric.buildActivity(ModelsActivity.class).setup().get();
        ViewGroup list = activity.findViewById(R.id.models);
        Screen.await("the models are listed", () -> list.getChildCount() > 0);
    }

    private java.util.List<String> names() {
        java.util.List<String> names = new java.util.ArrayList<>();
        ViewGroup list = activity.findViewById(R.id.models);
        for (int place = 0; place < list.getChildCount(); place++) {
            names.add(((TextView) list.getChildAt(place).findViewById(R.id.result_title)).getText().toString());
        }
        return names;
    }

    private String message() {
        return Screen.text(activity, R.id.models_message);
    }

    private void pick(InputStream zip) {
        activity.findViewById(R.id.import_model).performClick();
        Intent asked = shadowOf(activity).getNextStartedActivityForResult().intent;
        assertEquals(Intent.ACTION_OPEN_DOCUMENT, asked.getAction());
        assertArrayEquals(
                new String[] {"application/zip", "application/octet-stream"},
                asked.getStringArrayExtra(Intent.EXTRA_MIME_TYPES));
        Uri uri = Uri.parse("content://documents/model.zip");
        shadowOf(activity.getContentResolver()).registerInputStream(uri, zip);
        shadowOf(activity).receiveResult(asked, Activity.RESULT_OK, new Intent().setData(uri));
        Screen.await("it is read", () -> !message().equals(activity.getString(R.string.reading)));
        DemoApplication application = (DemoApplication) activity.getApplication();
        boolean[] listed = {false};
        application.workbench().readCatalogue(
                new org.edgekit.demo.ui.Workbench.Reply<org.edgekit.demo.ui.Workbench.Catalogue>() {
                    @Override
                    public void onResult(org.edgekit.demo.ui.Workbench.Catalogue catalogue) {
                        listed[0] = true; // after the screen's own list
                    }

                    @Override
                    public void onFailure(String message) {
                        throw new AssertionError(message);
                    }
                });
        Screen.await("the list is new", () -> listed[0]);
    }

    private static File imported() {
        return new File(RuntimeEnvironment.getApplication().getFilesDir(), "models");
    }
}
