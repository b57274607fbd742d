package org.edgekit.demo.live;

import android.graphics.Matrix;
import android.graphics.RectF;
import android.util.Size;

/** Geometry of a camera's preview. */
final class Preview {
    /** Networks read some 224 to 640 pixels; more would only take time. */
    private static final int ENOUGH_PIXELS = 640 * 480;

    private Preview() {}

    /** Returns the smallest size that both streams offer and that is enough, else the largest; null for none. */
    static Size choose(Size[] analysed, Size[] shown) {
        Size best = null;
        for (Size size : analysed) {
            boolean isOffered = java.util.Arrays.asList(shown).contains(size);
            if (isOffered && (best == null || isBetter(pixels(size), pixels(best)))) {
                best = size;
            }
        }
        return best;
    }

    private static boolean isBetter(int pixels, int best) {
        return best < ENOUGH_PIXELS ? pixels > best : pixels >= ENOUGH_PIXELS && pixels < best;
    }

    private static int pixels(Size size) {
        return size.getWidth() * size.getHeight();
    }

    /**
     * Returns degrees by which a sensor's picture is turned clockwise to stand upright on the screen.
     *
     * @param screen degrees by which the screen is turned, 0 to 270
     */
    static int turn(int sensor, int screen, boolean isFront) {
        return (isFront ? sensor + screen : sensor - screen + 360) % 360;
    }

    /**
     * Returns the transform with which a view, over the whole of which a picture is stretched, shows it in its
     * own proportions, whole and upright.
     *
     * @param width width of the upright picture; only the proportions count
     * @param screen degrees by which the screen is turned from the device's natural position
     */
    static Matrix fit(int viewWidth, int viewHeight, int width, int height, int screen) {
        float scale = Math.min((float) viewWidth / width, (float) viewHeight / height);
        float fitWidth = scale * width;
        float fitHeight = scale * height;
        boolean isSideways = screen % 180 != 0;
        RectF view = new RectF(0, 0, viewWidth, viewHeight);
        RectF target =
                isSideways ? new RectF(0, 0, fitHeight, fitWidth) : new RectF(0, 0, fitWidth, fitHeight);
        target.offset(view.centerX() - target.centerX(), view.centerY() - target.centerY());
        Matrix matrix = new Matrix();
        matrix.setRectToRect(view, target, Matrix.ScaleToFit.FILL);
        matrix.postRotate(-screen, view.centerX(), view.centerY());
        return matrix;
    }
}
