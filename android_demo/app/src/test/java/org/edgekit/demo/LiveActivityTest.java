package org.edgekit.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertTrue;
import static org.robolectric.Shadows.shadowOf;

import android.Manifest;
import android.content.pm.PackageManager;
import android.graphics.Bitmap;
import android.os.Looper;
import java.io.File;
import java.lang.ref.WeakReference;
import java.nio.file.Files;
import java.util.concurrent.CountDownLatch;
import org.edgekit.demo.inference.Answer;
import org.edgekit.demo.ui.DemoApplication;
import org.edgekit.demo.ui.LiveActivity;
import org.edgekit.demo.ui.PictureView;
import org.edgekit.demo.ui.Workbench;
import org.edgekit.demo.vision.PictureReader;
import org.edgekit.demo.vision.RgbImage;
import org.junit.Before;
import org.junit.Test;
import org.junit.experimental.categories.Category;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;

/** The live screen with real inference on frames that the test makes. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34, qualifiers = "w411dp-h891dp-xhdpi")
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public class LiveActivityTest {
    private final FakeFrames frames = new FakeFrames();
    private DemoApplication application;

    @Before
    public void useFakeFrames() {
        application = (DemoApplication) RuntimeEnvironment.getApplication();
        application.useFrames(activity -> frames);
    }

    @Test
    @Category(Smoke.class)
    public void followsTheFramesDropsWhatComesWhileBusyAndHoldsThePicture() throws Exception {
        shadowOf(application).grantPermissions(Manifest.permission.CAMERA);
        ActivityController<LiveActivity> controller = start();
        LiveActivity activity = controller.get();
        Screen.await("frames are asked for", () -> frames.starts == 1);
        RgbImage upright = page("0_0.jpg");
        RgbImage turned = page("90_0.jpg");
        show(activity, upright, "Upright");
        show(activity, turned, "Turned right");
        PictureView view = activity.findViewById(R.id.live_picture);
        assertNull("the preview is the picture", view.picture());

        // While the worker is busy ten frames come: the newest waits, the others are lost.
        Answer before = view.answer();
        CountDownLatch busy = block();
        for (int count = 0; count < 9; count++) {
            frames.offer(turned);
            shadowOf(Looper.getMainLooper()).idle();
        }
        frames.offer(upright);
        busy.countDown();
        Screen.await("the newest is answered", () -> Screen.text(activity, R.id.live_first).startsWith("Upright"));
        assertTrue(before != view.answer());
        settle();
        assertEquals("frames are written into one image", 1, frames.images.size());
        String pace = Screen.text(activity, R.id.live_pace);
        assertTrue(pace, pace.matches("[0-9.]+ ms · [0-9.]+ frames/s · ONNX Runtime fp32"));

        // A tap holds the picture that was answered; what comes then does not change it.
        view.performClick();
        Bitmap held = view.picture();
        assertNotNull(held);
        assertEquals(upright.width, held.getWidth());
        Answer answer = view.answer();
        frames.offer(turned);
        settle();
        assertSame(answer, view.answer());
        Screen.capture(activity, "live_held");
        view.performClick();
        Screen.await("it goes on", () -> Screen.text(activity, R.id.live_first).startsWith("Turned right"));
        assertNull(view.picture());

        // Away and back: the camera is let go and taken again.
        controller.pause().stop();
        assertEquals(1, frames.stops);
        assertNull(frames.listener);
        controller.start().resume();
        Screen.await("frames are asked for again", () -> frames.starts == 2);
        show(activity, upright, "Upright");
    }

    @Test
    public void asksForThePermissionWhenItOpens() throws Exception {
        LiveActivity activity = start().get();
        settle();
        assertEquals(0, frames.starts);
        String[] asked = shadowOf(activity).getLastRequestedPermission().requestedPermissions;
        assertEquals(Manifest.permission.CAMERA, asked[0]);
        activity.onRequestPermissionsResult(1, asked, new int[] {PackageManager.PERMISSION_DENIED});
        assertTrue(Screen.isShown(activity, R.id.live_message_box));
        assertTrue(Screen.isShown(activity, R.id.live_settings));
        Screen.capture(activity, "live_denied");
        activity.onRequestPermissionsResult(1, asked, new int[] {PackageManager.PERMISSION_GRANTED});
        Screen.await("frames are asked for", () -> frames.starts == 1);
        assertFalse(Screen.isShown(activity, R.id.live_message_box));
        frames.listener.onFailure("The camera is gone.");
        Screen.await("it says so", () -> Screen.isShown(activity, R.id.live_message_box));
        assertEquals("The camera is gone.", Screen.text(activity, R.id.live_message));
    }

    /** After the first ten frames a frame costs less memory than its own pixels take. */
    @Test
    public void makesNoPictureAFrameAfterTheFirstTen() throws Exception {
        shadowOf(application).grantPermissions(Manifest.permission.CAMERA);
        LiveActivity activity = start().get();
        Screen.await("frames are asked for", () -> frames.starts == 1);
        RgbImage frame = page("0_0.jpg");
        for (int count = 0; count < 10; count++) {
            answer(activity, frame);
        }
        long before = allocatedByTheWorker();
        int measured = 10;
        for (int count = 0; count < measured; count++) {
            answer(activity, frame);
        }
        long perFrame = (allocatedByTheWorker() - before) / measured;
        System.out.println("bytes a frame: " + perFrame + " of a picture of " + frame.bytes.length);
        assertTrue(perFrame + " bytes a frame", perFrame < frame.bytes.length / 20);
        assertEquals(1, frames.images.size());
    }

    @Test
    public void isForgottenWhenItGoes() throws Exception {
        shadowOf(application).grantPermissions(Manifest.permission.CAMERA);
        ActivityController<LiveActivity> controller = start();
        Screen.await("frames are asked for", () -> frames.starts == 1);
        show(controller.get(), page("0_0.jpg"), "Upright");
        CountDownLatch busy = block();
        frames.offer(page("90_0.jpg"));
        shadowOf(Looper.getMainLooper()).idle();
        controller.pause().stop().destroy();
        assertEquals(1, frames.stops);
        WeakReference<LiveActivity> gone = new WeakReference<>(controller.get());
        controller.close();
        controller = null;
        busy.countDown();
        Screen.await(
                "nothing holds the activity",
                () -> {
                    System.gc();
                    return gone.get() == null;
                });
    }

    private static ActivityController<LiveActivity> start() {
        return Robolectric.buildActivity(LiveActivity.class).setup();
    }

    private void show(LiveActivity activity, RgbImage frame, String answer) {
        frames.offer(frame);
        Screen.await(
                "the answer is " + answer,
                () -> Screen.text(activity, R.id.live_first).startsWith(answer));
    }

    private void answer(LiveActivity activity, RgbImage frame) {
        PictureView view = activity.findViewById(R.id.live_picture);
        Answer last = view.answer();
        frames.offer(frame);
        Screen.await("the frame is answered", () -> view.answer() != null && view.answer() != last);
    }

    /** Lets the main thread and the worker finish what they have. */
    private void settle() {
        for (int round = 0; round < 3; round++) {
            onWorker(() -> 0L);
        }
    }

    private long allocatedByTheWorker() {
        return onWorker(
                () -> {
                    // Not every Java has it, so that it is no part of its interface.
                    Object threads = java.lang.management.ManagementFactory.getThreadMXBean();
                    return (Long)
                            Class.forName("com.sun.management.ThreadMXBean")
                                    .getMethod("getThreadAllocatedBytes", long.class)
                                    .invoke(threads, Thread.currentThread().getId());
                });
    }

    private long onWorker(java.util.concurrent.Callable<Long> task) {
        long[] result = {-1};
        application.workbench().submit(task, reply(result));
        Screen.await("the worker has done it", () -> result[0] >= 0);
        return result[0];
    }

    private static Workbench.Reply<Long> reply(long[] into) {
        return new Workbench.Reply<Long>() {
            @Override
            public void onResult(Long value) {
                into[0] = value;
            }

            @Override
            public void onFailure(String message) {
                throw new AssertionError(message);
            }
        };
    }

    /** Keeps the worker busy until the latch is released. */
    private CountDownLatch block() {
        CountDownLatch latch = new CountDownLatch(1);
        application.workbench().submit(
                () -> {
                    latch.await();
                    return 0L;
                },
                reply(new long[1]));
        return latch;
    }

    private static RgbImage page(String name) throws Exception {
        File file = new File(System.getProperty("edgekit.pictures"), name);
        Bitmap page = PictureReader.decode(Files.readAllBytes(file.toPath()));
        return PictureReader.toRgb(Bitmap.createScaledBitmap(page, 480, 640, true));
    }
}
