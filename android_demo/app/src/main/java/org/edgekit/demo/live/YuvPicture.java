package org.edgekit.demo.live;

import java.nio.ByteBuffer;
import org.edgekit.demo.vision.RgbImage;

/**
 * A camera's picture in three planes (YUV 4:2:0 of full range, as JFIF defines it) made into RGB, turned
 * upright. Keeps its rows for the next picture. For one thread.
 */
final class YuvPicture {
    // JFIF 1.02: R = Y + 1.402 Cr and so on, in 16 bits behind the point.
    private static final int RED_OF_CR = 91881;
    private static final int GREEN_OF_CB = 22554;
    private static final int GREEN_OF_CR = 46802;
    private static final int BLUE_OF_CB = 116130;
    private static final int HALF = 1 << 15;

    private byte[] luma = new byte[0];
    private byte[] blue = new byte[0];
    private byte[] red = new byte[0];

    /** One plane of a picture: bytes from row to row, and from sample to sample. */
    static final class Plane {
        final ByteBuffer bytes;
        final int rowStride;
        final int pixelStride;

        Plane(ByteBuffer bytes, int rowStride, int pixelStride) {
            this.bytes = bytes;
            this.rowStride = rowStride;
            this.pixelStride = pixelStride;
        }
    }

    /**
     * Converts one picture.
     *
     * @param turn degrees by which it is turned clockwise: 0, 90, 180 or 270
     * @param reused an image that is overwritten and returned where it fits; or null
     */
    RgbImage toRgb(
            int width, int height, Plane y, Plane cb, Plane cr, int turn, RgbImage reused) {
        boolean isSideways = turn % 180 != 0;
        RgbImage image =
                RgbImage.sized(reused, isSideways ? height : width, isSideways ? width : height);
        luma = sized(luma, y);
        blue = sized(blue, cb);
        red = sized(red, cr);
        // Place of the first pixel of a row, and steps to the next pixel and to the next row.
        int first = turn == 0 ? 0 : turn == 90 ? height - 1
                : turn == 180 ? width * height - 1 : (width - 1) * height;
        int step = turn == 0 ? 1 : turn == 90 ? height : turn == 180 ? -1 : -height;
        int down = turn == 0 ? width : turn == 90 ? -1 : turn == 180 ? -width : 1;
        for (int row = 0; row < height; row++) {
            read(y, row, luma);
            if (row % 2 == 0) {
                read(cb, row / 2, blue);
                read(cr, row / 2, red);
            }
            int place = (first + row * down) * RgbImage.CHANNELS;
            for (int column = 0; column < width; column++) {
                int light = ((luma[column * y.pixelStride] & 0xff) << 16) + HALF;
                int u = (blue[column / 2 * cb.pixelStride] & 0xff) - 128;
                int v = (red[column / 2 * cr.pixelStride] & 0xff) - 128;
                image.bytes[place] = clip(light + RED_OF_CR * v);
                image.bytes[place + 1] = clip(light - GREEN_OF_CB * u - GREEN_OF_CR * v);
                image.bytes[place + 2] = clip(light + BLUE_OF_CB * u);
                place += step * RgbImage.CHANNELS;
            }
        }
        return image;
    }

    private static byte[] sized(byte[] row, Plane plane) {
        return row.length == plane.rowStride ? row : new byte[plane.rowStride];
    }

    /** Copies one row; the last one may end before its stride does. */
    private static void read(Plane plane, int row, byte[] into) {
        plane.bytes.position(row * plane.rowStride);
        plane.bytes.get(into, 0, Math.min(into.length, plane.bytes.remaining()));
    }

    private static byte clip(int value) {
        int whole = value >> 16;
        return (byte) (whole < 0 ? 0 : Math.min(whole, 255));
    }
}
