package org.edgekit.demo.ui;

import android.app.Application;

/** Holds the loaded model and a running sweep, which outlive an activity. */
public final class DemoApplication extends Application {
    private Workbench workbench;
    private SweepJob sweepJob;

    @Override
    public void onCreate() {
        super.onCreate();
        workbench = new Workbench(this);
        sweepJob = new SweepJob(this, workbench);
    }

    public Workbench workbench() {
        return workbench;
    }

    public SweepJob sweepJob() {
        return sweepJob;
    }
}
