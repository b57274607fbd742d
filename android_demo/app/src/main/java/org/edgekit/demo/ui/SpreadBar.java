package org.edgekit.demo.ui;

import android.content.Context;
import android.graphics.Canvas;
import android.graphics.Paint;
import android.util.AttributeSet;
import android.view.View;
import org.edgekit.demo.R;
import org.edgekit.demo.inference.LatencySummary;

/** A bar as long as a median, with a line from the 10th to the 90th percentile through its end. */
public final class SpreadBar extends View {
    private final Paint bar = new Paint();
    private final Paint line = new Paint();
    private LatencySummary latency;
    private double longestNs;

    public SpreadBar(Context context, AttributeSet attributes) {
        super(context, attributes);
        bar.setColor(context.getColor(R.color.primary));
        line.setColor(context.getColor(R.color.on_surface));
    }

    /**
     * Shows a latency; null shows nothing.
     *
     * @param longest time at which the bar fills the view, ns
     */
    void show(LatencySummary shown, double longest) {
        latency = shown;
        longestNs = longest;
        invalidate();
    }

    @Override
    protected void onDraw(Canvas canvas) {
        if (latency == null || longestNs <= 0) {
            return;
        }
        float scale = (float) (getWidth() / longestNs);
        float end = (float) latency.medianNs * scale;
        float reach = end * (float) latency.relativeSpread;
        float middle = getHeight() / 2f;
        float thin = Math.max(1, getHeight() / 8f);
        canvas.drawRect(0, getHeight() * 0.15f, end, getHeight() * 0.85f, bar);
        canvas.drawRect(end - reach, middle - thin, end + reach, middle + thin, line);
        canvas.drawRect(end - reach - thin, 0, end - reach, getHeight(), line);
        canvas.drawRect(end + reach, 0, end + reach + thin, getHeight(), line);
    }
}
