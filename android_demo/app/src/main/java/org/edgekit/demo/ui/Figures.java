package org.edgekit.demo.ui;

import android.content.res.Resources;
import java.text.DateFormat;
import java.text.ParsePosition;
import java.text.SimpleDateFormat;
import java.util.Date;
import java.util.Locale;
import java.util.TimeZone;
import org.edgekit.demo.R;
import org.edgekit.demo.inference.LatencySummary;
import org.edgekit.demo.model.ModelSpec;

/** Figures as they are shown: as many digits as a reader needs. */
final class Figures {
    private Figures() {}

    /** A share from 0 to 1 in per cent; no line ends before the sign. */
    static String percent(double share) {
        double percent = 100 * share;
        return String.format(Locale.getDefault(), percent < 9.95 ? "%.1f\u00a0%%" : "%.0f\u00a0%%", percent);
    }

    /** A time of a result file (UTC, ISO 8601) as people here write it; itself where it is none. */
    static String time(String iso) {
        SimpleDateFormat format = new SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ss", Locale.ROOT);
        format.setTimeZone(TimeZone.getTimeZone("UTC"));
        Date date = format.parse(iso, new ParsePosition(0));
        return date == null
                ? iso
                : DateFormat.getDateTimeInstance(DateFormat.MEDIUM, DateFormat.SHORT).format(date);
    }

    /** The median with half the distance from the 10th to the 90th percentile. */
    static String withSpread(LatencySummary latency) {
        return String.format(
                Locale.getDefault(), "%s ±%.0f %%", ms(latency.medianNs), 100 * latency.relativeSpread);
    }

    /** A point's status in the file, for people. */
    static int status(String status) {
        switch (status) {
            case "done":
                return R.string.status_done;
            case "skipped":
                return R.string.status_skipped;
            case "interrupted":
                return R.string.status_interrupted;
            default:
                return R.string.status_failed;
        }
    }

    /** A rough time; empty where it is not known. */
    static String timeLeft(Resources resources, long ms) {
        if (ms <= 0) {
            return "";
        }
        int seconds = (int) ((ms + 999) / 1000);
        int minutes = (seconds + 30) / 60;
        return seconds < 90
                ? resources.getQuantityString(R.plurals.seconds_left, seconds, seconds)
                : resources.getQuantityString(R.plurals.minutes_left, minutes, minutes);
    }

    static String megabytes(long bytes) {
        return String.format(Locale.getDefault(), "%.1f MB", bytes / 1e6);
    }

    /** Name of a task. */
    static int task(String task) {
        switch (task) {
            case ModelSpec.MULTILABEL:
                return R.string.task_multilabel;
            case ModelSpec.DETECTION:
                return R.string.task_detection;
            case ModelSpec.SEGMENTATION:
                return R.string.task_segmentation;
            default:
                return R.string.task_classification;
        }
    }

    /** Milliseconds. */
    static String ms(double ns) {
        double ms = ns / 1e6;
        String format = ms < 0.995 ? "%.2f ms" : ms < 99.95 ? "%.1f ms" : "%.0f ms";
        return String.format(Locale.getDefault(), format, ms);
    }
}
