package org.edgekit.demo.ui;

import android.content.Context;
import android.content.res.Resources;
import android.view.LayoutInflater;
import android.view.View;
import android.view.ViewGroup;
import android.widget.TextView;
import org.edgekit.demo.R;
import org.edgekit.demo.bench.Circumstances;
import org.edgekit.demo.bench.SavedResult;
import org.edgekit.demo.bench.Verdict;
import org.edgekit.demo.engine.Engine;
import org.edgekit.demo.engine.EngineCatalogue;

/** The row of a measured point: its median, what was measured how, and the verdict with its reasons. */
final class PointRow {
    private PointRow() {}

    /** Adds a row to a list; {@code extra} are more lines of its figures, each after a line break. */
    static void add(ViewGroup list, SavedResult.Point point, String extra) {
        Context context = list.getContext();
        Resources resources = context.getResources();
        View row = LayoutInflater.from(context).inflate(R.layout.point_row, list, false);
        boolean isMeasured = point.latency != null;
        text(row, R.id.point_title)
                .setText(
                        isMeasured
                                ? Figures.ms(point.latency.medianNs)
                                : context.getString(Figures.status(point.status)));
        String what =
                point.model + " · " + engine(point.engine) + " " + point.precision + " · "
                        + resources.getQuantityString(R.plurals.threads, point.threads, point.threads);
        TextView verdict = text(row, R.id.point_verdict);
        if (isMeasured) {
            what += "\n" + context.getString(
                    R.string.latency,
                    Figures.ms(point.latency.medianNs),
                    100 * point.latency.relativeSpread,
                    point.latency.count);
            if (point.celsiusBefore != null && point.celsiusAfter != null) {
                what += "\n" + context.getString(R.string.temperatures, point.celsiusBefore, point.celsiusAfter);
            }
            verdict.setText(verdict(context, point));
            boolean isValid = point.verdict.kind == Verdict.Kind.VALID;
            verdict.setTextColor(context.getColor(isValid ? R.color.primary : R.color.on_warning_container));
            if (!isValid) {
                verdict.setBackgroundResource(R.drawable.chip);
                int room = (int) (12 * resources.getDisplayMetrics().density);
                verdict.setPadding(room, room / 2, room, room / 2);
            }
        } else {
            what += point.error == null ? "" : "\n" + Messages.shown(resources, point.error);
            verdict.setVisibility(View.GONE);
        }
        text(row, R.id.point_summary).setText(what + extra);
        list.addView(row);
    }

    private static TextView text(View row, int id) {
        return row.findViewById(id);
    }

    private static String engine(String name) {
        for (Engine engine : EngineCatalogue.engines()) {
            if (engine.name().equals(name)) {
                return engine.title();
            }
        }
        return name; // of another flavour of this app
    }

    private static String verdict(Context context, SavedResult.Point point) {
        Verdict verdict = point.verdict;
        StringBuilder text = new StringBuilder(context.getString(title(verdict.kind)));
        if (verdict.isUnverified) {
            line(text, point.effectiveThreads == null
                    ? context.getString(R.string.doubt_threads_unknown)
                    : context.getString(R.string.doubt_threads, point.threads, point.effectiveThreads));
        }
        for (String reason : point.reasons) {
            line(text, reason.equals(Circumstances.HIDDEN)
                    ? context.getString(R.string.was_hidden)
                    : reason.equals(Circumstances.HOT) ? context.getString(R.string.was_hot) : reason);
        }
        if (verdict.hasTooFew) {
            line(text, context.getString(R.string.doubt_few, point.latency.count, Verdict.SAMPLES_FOR_P90));
        }
        if (verdict.drift != 0) {
            line(text, context.getString(R.string.doubt_drift, 100 * verdict.drift));
        }
        if (verdict.spread != 0) {
            line(text, context.getString(R.string.doubt_spread, 100 * verdict.spread));
        }
        if (verdict.modes != null) {
            line(text, context.getString(
                    R.string.doubt_modes, Figures.ms(verdict.modes[0]), Figures.ms(verdict.modes[1])));
        }
        return text.toString();
    }

    private static void line(StringBuilder text, String line) {
        text.append('\n').append(line);
    }

    private static int title(Verdict.Kind kind) {
        switch (kind) {
            case UNVERIFIED:
                return R.string.verdict_unverified;
            case THROTTLED:
                return R.string.verdict_throttled;
            case UNSTABLE:
                return R.string.verdict_unstable;
            default:
                return R.string.verdict_valid;
        }
    }
}
