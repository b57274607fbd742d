package org.edgekit.demo.inference;

/** A class for each pixel of a picture, row by row. */
public final class LabelMap {
    public final int width;
    public final int height;

    /** Class of each pixel, unsigned. */
    public final byte[] classes;

    LabelMap(int width, int height) {
        this.width = width;
        this.height = height;
        classes = new byte[width * height];
    }
}
