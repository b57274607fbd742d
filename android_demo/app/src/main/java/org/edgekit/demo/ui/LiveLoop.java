package org.edgekit.demo.ui;

import android.os.Handler;
import android.os.Looper;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.edgekit.demo.engine.EngineException;
import org.edgekit.demo.inference.Answer;
import org.edgekit.demo.inference.Configuration;
import org.edgekit.demo.inference.LabelMap;
import org.edgekit.demo.inference.Predictor;
import org.edgekit.demo.live.FrameSource;
import org.edgekit.demo.vision.PictureException;
import org.edgekit.demo.vision.RgbImage;

/**
 * Answers the newest frame of a source, one after the other. While one is being answered only the newest of
 * those that come waits; picture and label map are overwritten from frame to frame. Main thread only, but
 * for what {@link FrameSource.Listener} says.
 */
final class LiveLoop implements FrameSource.Listener {
    /** Called on the main thread. */
    interface Screen {
        /** A frame has been answered; picture and answer hold until the next frame is asked for. */
        void show(RgbImage picture, Answer answer, Pace pace);

        void fail(String message);
    }

    /** How fast frames are answered, over the last ones. */
    static final class Pace {
        private final long[] ends = new long[20];
        private final long[] runs = new long[ends.length];
        private int count;

        private void add(long endNs, long runNs) {
            ends[count % ends.length] = endNs;
            runs[count++ % runs.length] = runNs;
        }

        /** Number of answered frames. */
        int answered() {
            return count;
        }

        /** Answered frames a second; 0 before the second one. */
        double framesPerSecond() {
            int kept = Math.min(count, ends.length);
            if (kept < 2) {
                return 0;
            }
            long span = ends[(count - 1) % ends.length] - ends[(count - kept) % ends.length];
            return span <= 0 ? 0 : (kept - 1) * 1e9 / span;
        }

        /** Mean time of an inference, ns. */
        double runNs() {
            int kept = Math.min(count, runs.length);
            double sum = 0;
            for (int index = 0; index < kept; index++) {
                sum += runs[index];
            }
            return kept == 0 ? 0 : sum / kept;
        }
    }

    private final Workbench workbench;
    private final FrameSource source;
    private final Configuration configuration;
    private final Handler main = new Handler(Looper.getMainLooper());
    private final Pace pace = new Pace();
    private final AtomicLong arrived = new AtomicLong();
    private final AtomicBoolean told = new AtomicBoolean();
    private final Runnable noticed = this::notice;
    private Screen screen;
    private boolean busy;
    private boolean waits;
    private boolean paused;

    // Written by the worker while `busy`, read here otherwise.
    private RgbImage picture;
    private LabelMap labelMap;
    private long runNs;

    private Answer answer;

    LiveLoop(Workbench workbench, FrameSource source, Configuration configuration, Screen screen) {
        this.workbench = workbench;
        this.source = source;
        this.configuration = configuration;
        this.screen = screen;
    }

    @Override
    public void onFrame() {
        arrived.incrementAndGet();
        if (told.compareAndSet(false, true)) {
            main.post(noticed);
        }
    }

    @Override
    public void onFailure(String message) {
        main.post(
                () -> {
                    if (screen != null) {
                        screen.fail(message);
                    }
                });
    }

    /** Frames that came so far, answered or not. */
    long arrived() {
        return arrived.get();
    }

    /** Stops asking for frames, or goes on. */
    void setPaused(boolean isPaused) {
        paused = isPaused;
        next();
    }

    /** Shows the last answered frame once more, or the one that is being answered when it is done. */
    void showAgain() {
        if (!busy && answer != null) {
            screen.show(picture, answer, pace);
        }
    }

    /** Ends; the screen is forgotten and hears nothing more. */
    void stop() {
        screen = null;
        main.removeCallbacks(noticed);
    }

    private void notice() {
        told.set(false);
        waits = true;
        next();
    }

    private void next() {
        if (screen == null || busy || paused || !waits) {
            return;
        }
        busy = true;
        waits = false;
        workbench.use(configuration, this::answer, reply);
    }

    /** On the worker's thread; null where the frame has gone. */
    private Answer answer(Predictor predictor) throws PictureException, EngineException {
        RgbImage frame = source.take(picture);
        if (frame == null) {
            return null;
        }
        picture = frame;
        Answer found = predictor.answer(frame, labelMap);
        labelMap = found.labelMap;
        runNs = predictor.lastRunNs();
        return found;
    }

    private final Workbench.Reply<Answer> reply =
            new Workbench.Reply<Answer>() {
                @Override
                public void onResult(Answer newAnswer) {
                    busy = false;
                    if (screen != null && newAnswer != null) {
                        answer = newAnswer;
                        pace.add(System.nanoTime(), runNs);
                        screen.show(picture, answer, pace);
                    }
                    next();
                }

                @Override
                public void onFailure(String message) {
                    busy = false;
                    if (screen != null) {
                        screen.fail(message);
                    }
                }
            };
}
