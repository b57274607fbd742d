package org.edgekit.demo.ui;

import android.content.Context;
import android.graphics.Bitmap;
import android.graphics.Canvas;
import android.graphics.Color;
import android.graphics.Paint;
import android.graphics.RectF;
import android.util.AttributeSet;
import android.util.TypedValue;
import android.view.View;
import java.util.List;
import java.util.Locale;
import org.edgekit.demo.inference.Answer;
import org.edgekit.demo.inference.LabelMap;
import org.edgekit.demo.inference.Prediction;
import org.edgekit.demo.vision.RgbImage;

/** A picture as large as the view allows, with the boxes or the classes of its pixels over it. */
public final class PictureView extends View {
    // As opaque as the host's drawings.
    private static final int MASK_ALPHA = Math.round(0.6f * 255);
    private static final float TEXT_SP = 12;
    private static final float LINE_DP = 2;
    private static final float MARGIN_DP = 3;

    private final Paint smooth = new Paint(Paint.FILTER_BITMAP_FLAG);
    private final Paint mask = new Paint();
    private final Paint line = new Paint(Paint.ANTI_ALIAS_FLAG);
    private final Paint ground = new Paint();
    private final Paint ink = new Paint(Paint.ANTI_ALIAS_FLAG);
    private final RectF place = new RectF();
    private final float margin;

    private Bitmap picture;
    private int fullWidth;
    private int fullHeight;
    private Answer answer;
    private Bitmap labels;

    // Kept for the next label map of the same size.
    private Bitmap reusedLabels;
    private int[] pixels = new int[0];

    public PictureView(Context context, AttributeSet attributes) {
        super(context, attributes);
        android.util.DisplayMetrics metrics = getResources().getDisplayMetrics();
        margin = TypedValue.applyDimension(TypedValue.COMPLEX_UNIT_DIP, MARGIN_DP, metrics);
        line.setStyle(Paint.Style.STROKE);
        line.setStrokeWidth(
                TypedValue.applyDimension(TypedValue.COMPLEX_UNIT_DIP, LINE_DP, metrics));
        ink.setTextSize(TypedValue.applyDimension(TypedValue.COMPLEX_UNIT_SP, TEXT_SP, metrics));
        mask.setAlpha(MASK_ALPHA);
    }

    /**
     * Shows another picture, or none; what was drawn over the last one goes.
     *
     * @param shown the picture, perhaps reduced; null for none
     * @param width width of the whole picture, in whose pixels boxes are
     */
    public void setPicture(Bitmap shown, int width, int height) {
        picture = shown;
        fullWidth = width;
        fullHeight = height;
        setAnswer(null);
    }

    /** Shows what lies under this view, e.g. a camera's picture; answers are drawn as over a picture. */
    public void setClear(int width, int height) {
        picture = null;
        fullWidth = width;
        fullHeight = height;
        invalidate();
    }

    /** The picture that is shown; null for none. */
    public Bitmap picture() {
        return picture;
    }

    /** Draws an answer over the picture; null takes it away. */
    public void setAnswer(Answer newAnswer) {
        answer = newAnswer;
        labels = newAnswer == null || newAnswer.labelMap == null ? null : coloured(newAnswer.labelMap);
        invalidate();
    }

    /** The answer that is drawn; null for none. */
    public Answer answer() {
        return answer;
    }

    private Bitmap coloured(LabelMap map) {
        int[] colours = new int[256];
        for (int classId = 0; classId < colours.length; classId++) {
            colours[classId] = ClassColours.ofArea(classId);
        }
        if (pixels.length != map.classes.length) {
            pixels = new int[map.classes.length];
        }
        for (int index = 0; index < pixels.length; index++) {
            pixels[index] = colours[map.classes[index] & 0xff];
        }
        if (reusedLabels == null
                || reusedLabels.getWidth() != map.width
                || reusedLabels.getHeight() != map.height) {
            reusedLabels = Bitmap.createBitmap(map.width, map.height, Bitmap.Config.ARGB_8888);
        }
        reusedLabels.setPixels(pixels, 0, map.width, 0, 0, map.width, map.height);
        return reusedLabels;
    }

    /** The canvas refuses bitmaps of 100 MB; the view needs no more than a screen's pixels. */
    static Bitmap shrink(Bitmap bitmap) {
        int side = Math.max(bitmap.getWidth(), bitmap.getHeight());
        int limit = 1600;
        if (side <= limit) {
            return bitmap;
        }
        return Bitmap.createScaledBitmap(
                bitmap,
                Math.max(1, bitmap.getWidth() * limit / side),
                Math.max(1, bitmap.getHeight() * limit / side),
                true);
    }

    /** Returns a picture as a bitmap: the one handed in where it has the size, overwritten; else a new one. */
    static Bitmap bitmap(RgbImage picture, Bitmap reused) {
        boolean fits =
                reused != null
                        && reused.getWidth() == picture.width
                        && reused.getHeight() == picture.height;
        Bitmap bitmap =
                fits
                        ? reused
                        : Bitmap.createBitmap(picture.width, picture.height, Bitmap.Config.ARGB_8888);
        int[] row = new int[picture.width];
        for (int y = 0; y < picture.height; y++) {
            for (int x = 0; x < picture.width; x++) {
                row[x] = Color.rgb(
                        picture.channel(x, y, 0), picture.channel(x, y, 1), picture.channel(x, y, 2));
            }
            bitmap.setPixels(row, 0, picture.width, 0, y, picture.width, 1);
        }
        return bitmap;
    }

    @Override
    protected void onDraw(Canvas canvas) {
        int shownWidth = picture == null ? fullWidth : picture.getWidth();
        int shownHeight = picture == null ? fullHeight : picture.getHeight();
        if (shownWidth == 0) {
            return;
        }
        float width = getWidth() - getPaddingLeft() - getPaddingRight();
        float height = getHeight() - getPaddingTop() - getPaddingBottom();
        float scale = Math.min(width / shownWidth, height / shownHeight);
        float left = getPaddingLeft() + (width - scale * shownWidth) / 2;
        float top = getPaddingTop() + (height - scale * shownHeight) / 2;
        place.set(left, top, left + scale * shownWidth, top + scale * shownHeight);
        if (picture != null) {
            canvas.drawBitmap(picture, null, place, smooth);
        }
        if (labels != null) {
            canvas.drawBitmap(labels, null, place, mask);
        }
        if (answer != null) {
            List<Prediction> predictions = answer.predictions;
            for (int index = predictions.size() - 1; index >= 0; index--) { // the best one on top
                if (predictions.get(index).corners != null) {
                    drawBox(canvas, predictions.get(index));
                }
            }
        }
    }

    private void drawBox(Canvas canvas, Prediction box) {
        float scaleX = place.width() / fullWidth;
        float scaleY = place.height() / fullHeight;
        float left = place.left + scaleX * box.corners[0];
        float top = place.top + scaleY * box.corners[1];
        int colour = ClassColours.ofBox(box.classId);
        line.setColor(colour);
        canvas.drawRect(
                left, top, place.left + scaleX * box.corners[2], place.top + scaleY * box.corners[3],
                line);
        String text = String.format(Locale.getDefault(), "%s %.0f %%", box.label, 100 * box.score);
        float width = ink.measureText(text) + 2 * margin;
        float height = ink.descent() - ink.ascent() + margin;
        // On top of the box, inside of it where there is no room; moved where it would leave the picture.
        float textLeft = Math.max(place.left, Math.min(left, place.right - width));
        float textTop = top - height < place.top ? top : top - height;
        ground.setColor(colour);
        canvas.drawRect(textLeft, textTop, textLeft + width, textTop + height, ground);
        ink.setColor(ClassColours.inkOn(colour));
        canvas.drawText(text, textLeft + margin, textTop + margin / 2 - ink.ascent(), ink);
    }
}
