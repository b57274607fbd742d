package org.edgekit.demo.ui;

import android.app.Activity;
import android.app.Application;
import org.edgekit.demo.live.CameraFrames;
import org.edgekit.demo.live.FrameSource;

/** Holds the loaded model and a running sweep, which outlive an activity. */
public final class DemoApplication extends Application {
    /** Makes a source of frames for a screen. */
    public interface Frames {
        FrameSource open(Activity activity);
    }

    private Workbench workbench;
    private SweepJob sweepJob;
    private Frames frames = DemoApplication::camera;

    @Override
    public void onCreate() {
        super.onCreate();
        workbench = new Workbench(this);
        sweepJob = new SweepJob(this, workbench);
        registerActivityLifecycleCallbacks(new SeenScreens(sweepJob));
    }

    public Workbench workbench() {
        return workbench;
    }

    public SweepJob sweepJob() {
        return sweepJob;
    }

    /** Takes other frames than the camera's, for devices and tests without one. */
    public void useFrames(Frames others) {
        frames = others;
    }

    FrameSource frames(Activity activity) {
        return frames.open(activity);
    }

    @SuppressWarnings("deprecation") // its successor needs Android 11
    private static FrameSource camera(Activity activity) {
        int quarters = activity.getWindowManager().getDefaultDisplay().getRotation();
        return new CameraFrames(activity, 90 * quarters);
    }
}
