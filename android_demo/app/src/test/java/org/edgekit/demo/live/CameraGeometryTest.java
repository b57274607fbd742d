package org.edgekit.demo.live;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertSame;

import android.util.Size;
import java.nio.ByteBuffer;
import org.edgekit.demo.vision.RgbImage;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;

/** What the camera's planes become, and where its picture stands. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public class CameraGeometryTest {
    private static final int WIDTH = 6;
    private static final int HEIGHT = 4;

    /** Rows end in bytes that are no pixels, and colours lie two bytes apart, as on most devices. */
    @Test
    public void convertsPlanesOfAnyStrideAndTurnsThem() {
        ByteBuffer y = ByteBuffer.allocate(10 * HEIGHT);
        ByteBuffer cb = ByteBuffer.allocate(8 * HEIGHT / 2 - 1);
        ByteBuffer cr = ByteBuffer.allocate(8 * HEIGHT / 2 - 1);
        for (int row = 0; row < HEIGHT; row++) {
            for (int column = 0; column < WIDTH; column++) {
                y.put(10 * row + column, (byte) luma(column, row));
                cb.put(8 * (row / 2) + column / 2 * 2, (byte) blue(column));
                cr.put(8 * (row / 2) + column / 2 * 2, (byte) red(row));
            }
        }
        YuvPicture converter = new YuvPicture();
        RgbImage last = null;
        for (int turn = 0; turn < 360; turn += 90) {
            RgbImage image =
                    converter.toRgb(
                            WIDTH, HEIGHT,
                            new YuvPicture.Plane(y, 10, 1),
                            new YuvPicture.Plane(cb, 8, 2),
                            new YuvPicture.Plane(cr, 8, 2),
                            turn, last);
            last = image;
            for (int row = 0; row < HEIGHT; row++) {
                for (int column = 0; column < WIDTH; column++) {
                    int x = turn == 0 ? column : turn == 90 ? HEIGHT - 1 - row
                            : turn == 180 ? WIDTH - 1 - column : row;
                    int line = turn == 0 ? row : turn == 90 ? column
                            : turn == 180 ? HEIGHT - 1 - row : WIDTH - 1 - column;
                    double u = blue(column) - 128;
                    double v = red(row) - 128;
                    double light = luma(column, row);
                    String place = turn + ": " + column + "," + row;
                    assertEquals(place, light + 1.402 * v, image.channel(x, line, 0), 1);
                    assertEquals(place, light - 0.344136 * u - 0.714136 * v, image.channel(x, line, 1), 1);
                    assertEquals(place, light + 1.772 * u, image.channel(x, line, 2), 1);
                }
            }
        }
        RgbImage again =
                converter.toRgb(
                        WIDTH, HEIGHT,
                        new YuvPicture.Plane(y, 10, 1), new YuvPicture.Plane(cb, 8, 2),
                        new YuvPicture.Plane(cr, 8, 2), 90, last);
        assertSame("the image is used again", last, again);
    }

    private static int luma(int column, int row) {
        return 80 + 10 * column + 3 * row;
    }

    private static int blue(int column) {
        return 110 + 10 * (column / 2);
    }

    private static int red(int row) {
        return 120 + 20 * (row / 2);
    }

    @Test
    public void choosesTheSmallestSizeThatIsEnough() {
        Size[] offered = {new Size(1920, 1080), new Size(640, 480), new Size(320, 240), new Size(800, 600)};
        assertEquals(new Size(640, 480), Preview.choose(offered, offered));
        Size[] shown = {new Size(1920, 1080), new Size(320, 240)};
        assertEquals(new Size(1920, 1080), Preview.choose(offered, shown));
        Size[] small = {new Size(176, 144), new Size(320, 240)};
        assertEquals(new Size(320, 240), Preview.choose(small, small));
        assertNull(Preview.choose(offered, new Size[0]));
    }

    /** A phone's sensor lies on its side: 90 degrees at the back, 270 at the front. */
    @Test
    public void turnsTheSensorsPictureUpright() {
        assertEquals(90, Preview.turn(90, 0, false));
        assertEquals(0, Preview.turn(90, 90, false));
        assertEquals(180, Preview.turn(90, 270, false));
        assertEquals(270, Preview.turn(270, 0, true));
        assertEquals(0, Preview.turn(270, 90, true));
    }

    @Test
    public void fitsThePreviewIntoTheView() {
        // Upright 3:4 in a view of 400x800: 400x533, in the middle.
        float[] corners = {0, 0, 400, 800};
        Preview.fit(400, 800, 480, 640, 0).mapPoints(corners);
        assertArrayEquals(new float[] {0, 133.3f, 400, 666.7f}, corners, 0.1f);
        // Turned by a quarter: the picture's own corner at the top left goes to the bottom left.
        corners = new float[] {0, 0, 800, 400};
        Preview.fit(800, 400, 640, 480, 90).mapPoints(corners);
        assertArrayEquals(new float[] {133.3f, 400, 666.7f, 0}, corners, 0.1f);
        corners = new float[] {0, 0, 400, 800};
        Preview.fit(400, 800, 480, 640, 180).mapPoints(corners);
        assertArrayEquals(new float[] {400, 666.7f, 0, 133.3f}, corners, 0.1f);
    }
}
