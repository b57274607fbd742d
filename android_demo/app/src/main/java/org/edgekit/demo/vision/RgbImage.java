package org.edgekit.demo.vision;

/** A picture in memory: three bytes a pixel in the order red, green, blue, row by row. */
public final class RgbImage {
    public static final int CHANNELS = 3;

    public final int width;
    public final int height;
    public final byte[] bytes;

    public RgbImage(int width, int height, byte[] bytes) {
        if (width < 1 || height < 1 || bytes.length != width * height * CHANNELS) {
            throw new IllegalArgumentException(
                    bytes.length + " bytes for a picture of " + width + "x" + height);
        }
        this.width = width;
        this.height = height;
        this.bytes = bytes;
    }

    /** An image of the given size, black. */
    public static RgbImage blank(int width, int height) {
        return new RgbImage(width, height, new byte[width * height * CHANNELS]);
    }

    /** An image of the given size: the one handed in where it has this size, else a new one. */
    public static RgbImage sized(RgbImage old, int width, int height) {
        return old != null && old.width == width && old.height == height ? old : blank(width, height);
    }

    /** One channel (0 red, 1 green, 2 blue) of one pixel, 0 to 255. */
    public int channel(int x, int y, int channel) {
        return bytes[(y * width + x) * CHANNELS + channel] & 0xff;
    }
}
