package org.edgekit.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;
import static org.junit.Assume.assumeTrue;

import android.widget.Spinner;
import java.io.File;
import java.util.ArrayList;
import java.util.List;
import org.edgekit.demo.model.ModelStore;
import org.edgekit.demo.ui.MainActivity;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;

/**
 * Models of other sizes work; broken ones say what is wrong, and the others go on working.
 *
 * <p>The test's assets hold one model a case, named after it: those that begin with {@code good_} answer,
 * those that begin with {@code load_} fail when they are chosen, those that begin with {@code read_} are
 * refused at the start. The first line of a case's {@code expected.txt} is a part of the message.
 */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34, qualifiers = "w411dp-h891dp-xhdpi")
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public class SwappedModelTest {
    @Test
    public void everyModelAnswersOrSaysWhyNot() throws Exception {
        assumeTrue(Boolean.getBoolean("edgekit.swapped"));
        MainActivity activity = Robolectric.buildActivity(MainActivity.class).setup().get();
        Screen.awaitAnswers(activity);
        Spinner models = Screen.choice(activity, R.id.model);
        List<String> names = new ArrayList<>();
        for (int index = 0; index < models.getCount(); index++) {
            names.add((String) models.getItemAtPosition(index));
        }
        int good = 0;
        int failing = 0;
        for (String name : names) {
            Screen.choose(activity, R.id.model, name);
            if (name.startsWith("good_")) {
                Screen.awaitAnswers(activity);
                assertEquals(name, expected(activity, name), Integer.toString(answered(activity)));
                good++;
            } else {
                String message = Screen.awaitError(activity);
                assertTrue(name + ": " + message, message.contains(expected(activity, name)));
                Screen.capture(activity, "error_" + name);
                failing++;
            }
        }
        Screen.choose(activity, R.id.model, names.get(0));
        Screen.awaitAnswers(activity);
        assertTrue("good models " + good, good >= 3);
        assertTrue("failing models " + failing, failing >= 5);
        checkRefusedAtStart(activity);
        Screen.capture(activity, "main_with_broken_models");
    }

    private static int answered(MainActivity activity) {
        return Screen.labels(activity).size();
    }

    private static void checkRefusedAtStart(MainActivity activity) throws Exception {
        String broken = Screen.text(activity, R.id.broken_models);
        int refused = 0;
        ModelStore store = new ModelStore(
                activity.getAssets(), activity.getFilesDir(), new File(activity.getFilesDir(), "models"));
        for (String name : store.names()) {
            if (name.startsWith("read_")) {
                assertTrue(name + " in: " + broken, broken.contains(expected(activity, name)));
                refused++;
            }
        }
        assertTrue("refused models " + refused, refused >= 5);
    }

    private static String expected(MainActivity activity, String name) throws Exception {
        try (java.io.BufferedReader reader =
                new java.io.BufferedReader(
                        new java.io.InputStreamReader(
                                activity.getAssets().open("models/" + name + "/expected.txt"),
                                java.nio.charset.StandardCharsets.UTF_8))) {
            return reader.readLine();
        }
    }
}
