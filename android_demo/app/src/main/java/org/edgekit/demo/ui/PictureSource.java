package org.edgekit.demo.ui;

import android.content.ContentResolver;
import android.graphics.Bitmap;
import android.net.Uri;
import android.os.Bundle;
import org.edgekit.demo.model.LoadedModel;
import org.edgekit.demo.model.ModelException;
import org.edgekit.demo.model.ModelStore;
import org.edgekit.demo.vision.PictureException;
import org.edgekit.demo.vision.PictureReader;

/** Source of the shown picture; small enough to be kept while the screen turns. */
final class PictureSource {
    private static final String KEY_URI = "picture_uri";
    private static final String KEY_SAMPLE = "picture_sample";

    private final Uri uri;
    private final int sample;

    private PictureSource(Uri uri, int sample) {
        this.uri = uri;
        this.sample = sample;
    }

    static PictureSource ofUri(Uri uri) {
        return new PictureSource(uri, 0);
    }

    static PictureSource ofSample(int index) {
        return new PictureSource(null, index);
    }

    static PictureSource restore(Bundle state) {
        String uri = state == null ? null : state.getString(KEY_URI);
        if (uri != null) {
            return ofUri(Uri.parse(uri));
        }
        return ofSample(state == null ? 0 : state.getInt(KEY_SAMPLE));
    }

    void save(Bundle state) {
        state.putString(KEY_URI, uri == null ? null : uri.toString());
        state.putInt(KEY_SAMPLE, sample);
    }

    boolean isSample() {
        return uri == null;
    }

    /** The bundled sample's index among the model's samples. */
    int sampleIndex(LoadedModel model) {
        return sample % model.spec.samples.size();
    }

    /** Reads and decodes the picture; do not call it on the main thread. */
    Bitmap decode(LoadedModel model, ModelStore store, ContentResolver resolver)
            throws PictureException, ModelException {
        if (uri != null) {
            return PictureReader.read(resolver, uri);
        }
        return PictureReader.decode(
                store.sample(model.directory, model.spec.samples.get(sampleIndex(model))));
    }
}
