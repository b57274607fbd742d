package org.edgekit.demo;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertTrue;
import static org.junit.Assume.assumeNotNull;
import static org.robolectric.Shadows.shadowOf;

import android.Manifest;
import android.app.Activity;
import android.content.Intent;
import android.net.Uri;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.FileOutputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Arrays;
import org.edgekit.demo.inference.Answer;
import org.edgekit.demo.inference.Prediction;
import org.edgekit.demo.ui.DemoApplication;
import org.edgekit.demo.ui.LiveActivity;
import org.edgekit.demo.ui.MainActivity;
import org.edgekit.demo.ui.PictureView;
import org.edgekit.demo.vision.PictureReader;
import org.edgekit.demo.vision.RgbImage;
import org.json.JSONArray;
import org.json.JSONObject;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;

/**
 * Answers the pictures of {@code edgekit.tasks} with every bundled model; the answers are written to
 * {@code edgekit.answers}, where the host compares them with its own.
 */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34, qualifiers = "w411dp-h891dp-xhdpi")
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public class TasksTest {
    @Test
    public void everyModelAnswersEveryPicture() throws Exception {
        String directory = System.getProperty("edgekit.tasks");
        assumeNotNull(directory);
        File[] pictures = new File(directory).listFiles((parent, name) -> name.endsWith(".png"));
        Arrays.sort(pictures);
        MainActivity activity = Robolectric.buildActivity(MainActivity.class).setup().get();
        Screen.awaitAnswers(activity);
        assertFalse(
                Screen.text(activity, R.id.broken_models),
                Screen.isShown(activity, R.id.broken_models));
        for (String model : Screen.choices(activity, R.id.model)) {
            Screen.choose(activity, R.id.model, model);
            Screen.awaitAnswers(activity);
            for (File picture : pictures) {
                pick(activity, picture);
                Screen.awaitAnswers(activity);
                PictureView view = activity.findViewById(R.id.picture);
                write(view.answer(), model + "-" + picture.getName().replace(".png", ""));
            }
            pick(activity, pictures[0]);
            Screen.awaitAnswers(activity);
            Screen.capture(activity, "task_" + model);
            PictureView view = activity.findViewById(R.id.picture);
            checkLive(pictures[0], view.answer(), model);
        }
    }

    /** The live screen draws the same boxes and areas, into the same label map from frame to frame. */
    private static void checkLive(File picture, Answer expected, String model) throws Exception {
        DemoApplication application = (DemoApplication) RuntimeEnvironment.getApplication();
        FakeFrames frames = new FakeFrames();
        application.useFrames(activity -> frames);
        shadowOf(application).grantPermissions(Manifest.permission.CAMERA);
        ActivityController<LiveActivity> live = Robolectric.buildActivity(LiveActivity.class).setup();
        Screen.await("frames are asked for", () -> frames.starts == 1);
        PictureView view = live.get().findViewById(R.id.live_picture);
        RgbImage frame = PictureReader.toRgb(PictureReader.decode(Files.readAllBytes(picture.toPath())));
        frames.offer(frame);
        Screen.await("the frame is answered", () -> view.answer() != null);
        Answer first = view.answer();
        assertEquals(model, expected.predictions.size(), first.predictions.size());
        for (int index = 0; index < first.predictions.size(); index++) {
            Prediction wanted = expected.predictions.get(index);
            assertEquals(model, wanted.classId, first.predictions.get(index).classId);
            assertArrayEquals(model, wanted.corners, first.predictions.get(index).corners, 0);
        }
        if (expected.labelMap != null) {
            assertArrayEquals(model, expected.labelMap.classes, first.labelMap.classes);
        }
        frames.offer(frame);
        Screen.await("the next frame is answered", () -> view.answer() != first);
        assertSame(model, first.labelMap, view.answer().labelMap);
        view.performClick();
        Screen.capture(live.get(), "live_" + model);
        live.pause().stop().destroy();
    }

    private static void write(Answer answer, String name) throws Exception {
        JSONArray classIds = new JSONArray();
        JSONArray labels = new JSONArray();
        JSONArray scores = new JSONArray();
        JSONArray boxes = new JSONArray();
        for (Prediction one : answer.predictions) {
            classIds.put(one.classId);
            labels.put(one.label);
            scores.put(one.score);
            JSONArray corners = new JSONArray();
            for (int side = 0; one.corners != null && side < 4; side++) {
                corners.put(one.corners[side]);
            }
            boxes.put(corners);
        }
        JSONObject document =
                new JSONObject()
                        .put("class_ids", classIds)
                        .put("label_names", labels)
                        .put("scores", scores)
                        .put("boxes", boxes);
        String directory = System.getProperty("edgekit.answers");
        Files.write(
                new File(directory, name + ".json").toPath(),
                document.toString().getBytes(StandardCharsets.UTF_8));
        if (answer.labelMap != null) {
            try (OutputStream out = new FileOutputStream(new File(directory, name + ".map"))) {
                out.write(answer.labelMap.classes);
            }
        }
    }

    private static void pick(Activity activity, File picture) throws Exception {
        byte[] content = Files.readAllBytes(picture.toPath());
        activity.findViewById(R.id.gallery).performClick();
        Intent asked = shadowOf(activity).getNextStartedActivityForResult().intent;
        Uri uri = Uri.parse("content://gallery/" + picture.getName());
        shadowOf(activity.getContentResolver())
                .registerInputStreamSupplier(uri, () -> new ByteArrayInputStream(content));
        shadowOf(activity).receiveResult(asked, Activity.RESULT_OK, new Intent().setData(uri));
        assertTrue(Screen.isShown(activity, R.id.progress));
    }
}
