package org.edgekit.demo.ui;

import android.app.Activity;
import android.app.Application;
import android.os.Bundle;

/** Tells the sweep when no screen of the app is seen. */
final class SeenScreens implements Application.ActivityLifecycleCallbacks {
    private final SweepJob job;
    private int seen;

    SeenScreens(SweepJob job) {
        this.job = job;
    }

    @Override
    public void onActivityStarted(Activity activity) {
        seen++;
        job.setHidden(false);
    }

    @Override
    public void onActivityStopped(Activity activity) {
        seen--;
        // While a screen turns, none is seen for a moment.
        job.setHidden(seen == 0 && !activity.isChangingConfigurations());
    }

    @Override
    public void onActivityCreated(Activity activity, Bundle state) {}

    @Override
    public void onActivityResumed(Activity activity) {}

    @Override
    public void onActivityPaused(Activity activity) {}

    @Override
    public void onActivitySaveInstanceState(Activity activity, Bundle state) {}

    @Override
    public void onActivityDestroyed(Activity activity) {}
}
