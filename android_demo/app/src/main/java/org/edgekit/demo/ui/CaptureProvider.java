package org.edgekit.demo.ui;

import android.content.ContentProvider;
import android.content.ContentValues;
import android.content.Context;
import android.database.Cursor;
import android.database.MatrixCursor;
import android.net.Uri;
import android.os.ParcelFileDescriptor;
import android.provider.OpenableColumns;
import java.io.File;
import java.io.FileNotFoundException;
import java.util.List;
import org.edgekit.demo.bench.SavedResult;

/**
 * Lends files to other apps for one use: one that the camera app writes a full-size picture into, without
 * this app having the camera or storage permission, and the results that the user shares.
 */
public final class CaptureProvider extends ContentProvider {
    private static final String FILE_NAME = "capture.jpg";
    private static final String RESULTS = "results";

    static Uri uri(Context context) {
        return Uri.parse("content://" + context.getPackageName() + ".capture/" + FILE_NAME);
    }

    /** Address of a result. */
    static Uri uri(Context context, SavedResult result) {
        return Uri.parse(
                "content://" + context.getPackageName() + ".capture/" + RESULTS + "/"
                        + result.file.getName());
    }

    private static File file(Context context) {
        return new File(context.getCacheDir(), FILE_NAME);
    }

    @Override
    public boolean onCreate() {
        return true;
    }

    @Override
    public ParcelFileDescriptor openFile(Uri uri, String mode) throws FileNotFoundException {
        File result = result(uri);
        if (result != null && mode.equals("r")) {
            return ParcelFileDescriptor.open(result, ParcelFileDescriptor.MODE_READ_ONLY);
        }
        if (!uri(getContext()).equals(uri)) {
            throw new FileNotFoundException(uri.toString());
        }
        return ParcelFileDescriptor.open(file(getContext()), ParcelFileDescriptor.parseMode(mode));
    }

    /** The result that an address names; null where it names none. */
    private File result(Uri uri) {
        List<String> path = uri.getPathSegments();
        return path.size() == 2 && path.get(0).equals(RESULTS)
                ? SavedResult.file(getContext(), path.get(1))
                : null;
    }

    @Override
    public String getType(Uri uri) {
        return result(uri) == null ? "image/jpeg" : "application/json";
    }

    @Override
    public Cursor query(
            Uri uri, String[] projection, String selection, String[] arguments, String order) {
        File result = result(uri);
        if (result == null) {
            return null;
        }
        String[] columns = {OpenableColumns.DISPLAY_NAME, OpenableColumns.SIZE};
        MatrixCursor cursor = new MatrixCursor(columns, 1);
        cursor.addRow(new Object[] {result.getName(), result.length()});
        return cursor;
    }

    @Override
    public Uri insert(Uri uri, ContentValues values) {
        throw new UnsupportedOperationException();
    }

    @Override
    public int delete(Uri uri, String selection, String[] arguments) {
        throw new UnsupportedOperationException();
    }

    @Override
    public int update(Uri uri, ContentValues values, String selection, String[] arguments) {
        throw new UnsupportedOperationException();
    }
}
