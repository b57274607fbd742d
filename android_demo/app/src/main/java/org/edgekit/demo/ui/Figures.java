package org.edgekit.demo.ui;

import java.util.Locale;

/** Figures as they are shown: as many digits as a reader needs. */
final class Figures {
    private Figures() {}

    /** A share from 0 to 1 in per cent. */
    static String percent(double share) {
        double percent = 100 * share;
        return String.format(Locale.getDefault(), percent < 9.95 ? "%.1f %%" : "%.0f %%", percent);
    }

    /** Milliseconds. */
    static String ms(double ns) {
        double ms = ns / 1e6;
        String format = ms < 0.995 ? "%.2f ms" : ms < 99.95 ? "%.1f ms" : "%.0f ms";
        return String.format(Locale.getDefault(), format, ms);
    }
}
