package org.edgekit.demo.bench;

import android.content.Context;
import android.os.Build;
import android.os.PowerManager;
import java.util.ArrayList;
import java.util.List;

/** What makes a point's figures doubtful while it runs. Any thread. */
public final class Circumstances {
    /** Android gives an app that is not seen fewer and slower cores. */
    public static final String HIDDEN = "the app was hidden while it measured: keep it on the screen";

    /** Android's thermal status was at least "moderate". */
    public static final String HOT = "the device was hot and slowed itself down: let it cool";

    private boolean isHidden;
    private boolean wasHidden;

    /** Says whether no screen of this app is seen. */
    public synchronized void setHidden(boolean hidden) {
        isHidden = hidden;
        wasHidden |= hidden;
    }

    synchronized void begin() {
        wasHidden = isHidden;
    }

    /** Reasons for doubt since {@link #begin}, in the words of the result file. */
    synchronized List<String> reasons(Context context) {
        List<String> reasons = new ArrayList<>();
        if (isHot(context)) {
            reasons.add(HOT);
        }
        if (wasHidden) {
            reasons.add(HIDDEN);
        }
        return reasons;
    }

    private static boolean isHot(Context context) {
        if (Build.VERSION.SDK_INT < Build.VERSION_CODES.Q) {
            return false; // Android does not say
        }
        PowerManager power = (PowerManager) context.getSystemService(Context.POWER_SERVICE);
        return power != null
                && power.getCurrentThermalStatus() >= PowerManager.THERMAL_STATUS_MODERATE;
    }
}
