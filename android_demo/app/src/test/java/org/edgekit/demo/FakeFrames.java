package org.edgekit.demo;

import android.view.TextureView;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.Set;
import org.edgekit.demo.live.FrameSource;
import org.edgekit.demo.vision.RgbImage;

/** A camera whose frames a test makes. */
final class FakeFrames implements FrameSource {
    /** The images that were filled, each counted once. */
    final Set<RgbImage> images = Collections.newSetFromMap(new IdentityHashMap<>());

    Listener listener;
    int starts;
    int stops;
    private RgbImage newest;
    private boolean isNew;

    @Override
    public void start(TextureView preview, Listener newListener) {
        listener = newListener;
        starts++;
    }

    synchronized void offer(RgbImage frame) {
        newest = frame;
        isNew = true;
        listener.onFrame();
    }

    @Override
    public synchronized RgbImage take(RgbImage reused) {
        if (!isNew || listener == null) {
            return null;
        }
        isNew = false;
        RgbImage image = RgbImage.sized(reused, newest.width, newest.height);
        System.arraycopy(newest.bytes, 0, image.bytes, 0, image.bytes.length);
        images.add(image);
        return image;
    }

    @Override
    public synchronized void stop() {
        listener = null;
        stops++;
    }
}
