package org.edgekit.demo.ui;

import android.graphics.Color;

/** Colours of classes, equal to those of the host's drawings. */
final class ClassColours {
    // Hues of neighbouring classes are this part of the circle apart, so that few classes look alike.
    private static final double GOLDEN_RATIO = 0.618033988749895;

    private ClassColours() {}

    /** Colour of a class of boxes. */
    static int ofBox(int classId) {
        float hue = (float) (360 * (classId * GOLDEN_RATIO % 1));
        return Color.HSVToColor(new float[] {hue, 0.85f, classId / 8 % 2 == 0 ? 0.95f : 0.7f});
    }

    /** Colour of a class of a label map: PASCAL VOC's from its class 1 on, which PaddleSeg takes. */
    static int ofArea(int classId) {
        int number = classId + 1;
        int red = 0;
        int green = 0;
        int blue = 0;
        for (int bit = 0; bit < 8; bit++) {
            red |= (number >> (3 * bit) & 1) << (7 - bit);
            green |= (number >> (3 * bit + 1) & 1) << (7 - bit);
            blue |= (number >> (3 * bit + 2) & 1) << (7 - bit);
        }
        return Color.rgb(red, green, blue);
    }

    /** Black or white, whichever is read better on a colour. */
    static int inkOn(int colour) {
        double light =
                0.299 * Color.red(colour) + 0.587 * Color.green(colour) + 0.114 * Color.blue(colour);
        return light > 128 ? Color.BLACK : Color.WHITE;
    }
}
