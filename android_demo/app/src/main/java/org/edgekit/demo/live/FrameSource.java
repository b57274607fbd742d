package org.edgekit.demo.live;

import android.view.TextureView;
import org.edgekit.demo.vision.RgbImage;

/** Gives one picture after another, as a camera does. */
public interface FrameSource {
    /** Called on any thread. */
    interface Listener {
        /** A newer frame can be taken. */
        void onFrame();

        /** No frames come any more; the message is for the screen. */
        void onFailure(String message);
    }

    /**
     * Begins. Main thread.
     *
     * @param preview where the pictures are shown as they come
     */
    void start(TextureView preview, Listener listener);

    /**
     * Returns the newest frame, upright; frames that came before it are lost.
     *
     * @param reused an image that is overwritten and returned where it has the frame's size; or null
     * @return null where no newer frame has come, or the source has been stopped
     */
    RgbImage take(RgbImage reused);

    /** Ends and forgets preview and listener. Main thread. */
    void stop();
}
