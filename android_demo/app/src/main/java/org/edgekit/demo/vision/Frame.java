package org.edgekit.demo.vision;

/** Place of a picture in a network's input. */
public final class Frame {
    public final int pictureWidth;
    public final int pictureHeight;

    /** Size of the network's input, pixels. */
    public final int inputWidth;

    public final int inputHeight;

    /** Input pixels per pixel of the picture. */
    public final double scaleX;

    public final double scaleY;

    /** Columns left of the picture and rows above it in the input, pixels. */
    public final double offsetX;

    public final double offsetY;

    Frame(
            int pictureWidth,
            int pictureHeight,
            int inputWidth,
            int inputHeight,
            double scaleX,
            double scaleY,
            double offsetX,
            double offsetY) {
        this.pictureWidth = pictureWidth;
        this.pictureHeight = pictureHeight;
        this.inputWidth = inputWidth;
        this.inputHeight = inputHeight;
        this.scaleX = scaleX;
        this.scaleY = scaleY;
        this.offsetX = offsetX;
        this.offsetY = offsetY;
    }
}
