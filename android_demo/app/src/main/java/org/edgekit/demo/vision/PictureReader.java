package org.edgekit.demo.vision;

import android.content.ContentResolver;
import android.graphics.Bitmap;
import android.graphics.BitmapFactory;
import android.graphics.Matrix;
import android.media.ExifInterface;
import android.net.Uri;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;

/** Decodes pictures, upright by their EXIF orientation; very large ones reduced. Not for the main thread. */
public final class PictureReader {
    private static final long MAX_FILE_BYTES = 64L << 20;
    private static final long MAX_PIXELS = 512_000_000L;

    /** Larger pictures are decoded reduced: with its copies one of this size takes less than 100 MB. */
    public static final long MOST_DECODED_PIXELS = 1 << 23;

    private PictureReader() {}

    /** Reads and decodes a picture from a gallery or camera app. */
    public static Bitmap read(ContentResolver resolver, Uri uri) throws PictureException {
        try (InputStream in = resolver.openInputStream(uri)) {
            if (in == null) {
                throw new PictureException("The picture " + uri + " is not there any more.");
            }
            return decode(readAll(in));
        } catch (IOException | SecurityException error) {
            throw new PictureException("The picture cannot be read: " + error.getMessage(), error);
        }
    }

    /** Decodes an encoded picture (JPEG, PNG, WebP, ...). */
    public static Bitmap decode(byte[] encoded) throws PictureException {
        BitmapFactory.Options options = new BitmapFactory.Options();
        options.inJustDecodeBounds = true;
        BitmapFactory.decodeByteArray(encoded, 0, encoded.length, options);
        if (options.outWidth < 1 || options.outHeight < 1) {
            throw new PictureException("This is no picture that Android can decode.");
        }
        if ((long) options.outWidth * options.outHeight > MAX_PIXELS) {
            throw new PictureException(
                    "The picture has " + options.outWidth + "x" + options.outHeight
                            + " pixels; this app takes up to 512 million.");
        }
        options.inSampleSize = reduction(options.outWidth, options.outHeight);
        options.inJustDecodeBounds = false;
        options.inPreferredConfig = Bitmap.Config.ARGB_8888;
        options.inScaled = false;
        try {
            Bitmap bitmap = BitmapFactory.decodeByteArray(encoded, 0, encoded.length, options);
            if (bitmap == null) {
                throw new PictureException("The picture is damaged: it does not decode.");
            }
            return upright(bitmap, encoded);
        } catch (OutOfMemoryError error) {
            throw tooLarge(options.outWidth, options.outHeight, error);
        }
    }

    /** Returns by how much both sides are divided, a power of two. */
    private static int reduction(int width, int height) {
        int reduction = 1;
        while ((long) (width / reduction) * (height / reduction) > MOST_DECODED_PIXELS) {
            reduction *= 2;
        }
        return reduction;
    }

    private static PictureException tooLarge(int width, int height, OutOfMemoryError error) {
        return new PictureException(
                "The picture of " + width + "x" + height + " pixels does not fit into this app's memory.",
                error);
    }

    /** The pixels without alpha, three bytes each. */
    public static RgbImage toRgb(Bitmap bitmap) throws PictureException {
        int width = bitmap.getWidth();
        int height = bitmap.getHeight();
        RgbImage image;
        try {
            image = RgbImage.blank(width, height);
        } catch (OutOfMemoryError error) {
            throw tooLarge(width, height, error);
        }
        int[] line = new int[width];
        int place = 0;
        for (int y = 0; y < height; y++) {
            bitmap.getPixels(line, 0, width, 0, y, width, 1);
            for (int pixel : line) {
                image.bytes[place++] = (byte) (pixel >> 16);
                image.bytes[place++] = (byte) (pixel >> 8);
                image.bytes[place++] = (byte) pixel;
            }
        }
        return image;
    }

    private static Bitmap upright(Bitmap bitmap, byte[] encoded) {
        int orientation;
        try {
            orientation =
                    new ExifInterface(new ByteArrayInputStream(encoded))
                            .getAttributeInt(
                                    ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL);
        } catch (IOException error) {
            return bitmap; // the format has no EXIF data
        }
        Matrix matrix = orientationMatrix(orientation);
        if (matrix == null) {
            return bitmap;
        }
        return Bitmap.createBitmap(
                bitmap, 0, 0, bitmap.getWidth(), bitmap.getHeight(), matrix, false);
    }

    private static Matrix orientationMatrix(int orientation) {
        Matrix matrix = new Matrix();
        switch (orientation) {
            case ExifInterface.ORIENTATION_FLIP_HORIZONTAL:
                matrix.setScale(-1, 1);
                return matrix;
            case ExifInterface.ORIENTATION_ROTATE_180:
                matrix.setRotate(180);
                return matrix;
            case ExifInterface.ORIENTATION_FLIP_VERTICAL:
                matrix.setScale(1, -1);
                return matrix;
            case ExifInterface.ORIENTATION_TRANSPOSE:
                matrix.setRotate(90);
                matrix.postScale(-1, 1);
                return matrix;
            case ExifInterface.ORIENTATION_ROTATE_90:
                matrix.setRotate(90);
                return matrix;
            case ExifInterface.ORIENTATION_TRANSVERSE:
                matrix.setRotate(-90);
                matrix.postScale(-1, 1);
                return matrix;
            case ExifInterface.ORIENTATION_ROTATE_270:
                matrix.setRotate(-90);
                return matrix;
            default:
                return null;
        }
    }

    private static byte[] readAll(InputStream in) throws IOException, PictureException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        byte[] chunk = new byte[1 << 16];
        int count;
        while ((count = in.read(chunk)) >= 0) {
            out.write(chunk, 0, count);
            if (out.size() > MAX_FILE_BYTES) {
                throw new PictureException("The picture's file is larger than 64 MiB.");
            }
        }
        return out.toByteArray();
    }
}
