package org.edgekit.demo.ui;

import android.content.Context;
import android.os.SystemClock;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.edgekit.demo.R;
import org.edgekit.demo.bench.BenchPlan;
import org.edgekit.demo.bench.Circumstances;
import org.edgekit.demo.bench.SavedResult;
import org.edgekit.demo.bench.Sweep;
import org.edgekit.demo.inference.Configuration;

/** The one sweep that can run; it continues while its screen turns or is away. Main thread only. */
public final class SweepJob {
    /** Called on the main thread after a change. */
    public interface Listener {
        void onChange();
    }

    private final Context context;
    private final Workbench workbench;
    private final List<SavedResult.Point> lines = new ArrayList<>();
    private final Set<Listener> listeners = new LinkedHashSet<>();
    private final Circumstances circumstances = new Circumstances();
    private Sweep sweep;
    private long firstStartedMs;
    private String waiting;
    private int current;
    private int all;
    private Configuration configuration;
    private File result;
    private String failure;

    SweepJob(Context context, Workbench workbench) {
        this.context = context;
        this.workbench = workbench;
    }

    public boolean isRunning() {
        return sweep != null;
    }

    public List<SavedResult.Point> lines() {
        return Collections.unmodifiableList(lines);
    }

    /** The finished sweep's file, or null. */
    public File result() {
        return result;
    }

    /** Reason why the sweep ended without a result, or null. */
    public String failure() {
        return failure;
    }

    public void listen(Listener listener) {
        listeners.add(listener);
    }

    public void forget(Listener listener) {
        listeners.remove(listener);
    }

    /** Number of the running point, from 1 on; 0 before the first. */
    public int current() {
        return current;
    }

    /** Number of all points of the sweep; 0 before the first begins. */
    public int all() {
        return all;
    }

    /** The running point; null before the first. */
    public Configuration configuration() {
        return configuration;
    }

    /** The temperature for which the sweep waits, in words; null while it measures. */
    String waiting() {
        return waiting;
    }

    /** Says whether no screen of this app is seen; points that are measured meanwhile are marked. */
    void setHidden(boolean isHidden) {
        circumstances.setHidden(isHidden);
    }

    /** Time that the running and the following points will take, if they take as long as those before; 0 unknown. */
    long leftMs() {
        int measured = current - 1;
        long spent = SystemClock.elapsedRealtime() - firstStartedMs;
        return measured < 1 ? 0 : spent * (all - measured) / measured;
    }

    /** Starts a sweep; returns false while another one runs. */
    public boolean start(BenchPlan plan) {
        if (isRunning()) {
            return false;
        }
        lines.clear();
        result = null;
        failure = null;
        current = 0;
        all = 0;
        configuration = null;
        waiting = null;
        Sweep started = new Sweep(context, plan, workbench.store(), circumstances);
        sweep = started;
        android.os.Handler main = new android.os.Handler(android.os.Looper.getMainLooper());
        workbench.submit(
                () -> {
                    workbench.release();
                    return started.run(
                            new Sweep.Listener() {
                                @Override
                                public void onStart(int number, int count, Configuration point) {
                                    main.post(() -> begin(number, count, point));
                                }

                                @Override
                                public void onWait(double celsius, int limit) {
                                    main.post(() -> await(celsius, limit));
                                }

                                @Override
                                public void onPoint(SavedResult.Point line) {
                                    main.post(() -> add(line));
                                }
                            });
                },
                new Workbench.Reply<File>() {
                    @Override
                    public void onResult(File file) {
                        result = file;
                        sweep = null;
                        notifyListener();
                    }

                    @Override
                    public void onFailure(String message) {
                        fail(plan.runId, message);
                    }
                });
        notifyListener();
        return true;
    }

    /** Ends the sweep early; its file keeps the measured points. */
    public void cancel() {
        if (sweep != null) {
            sweep.cancel();
        }
    }

    /** Ends with a failure; reports it on the screen and to the waiting host. */
    void fail(String runId, String message) {
        failure = message;
        sweep = null;
        refuse(runId, message);
        notifyListener();
    }

    /** Tells the waiting host that its run will not start; a running sweep continues. */
    void refuse(String runId, String message) {
        File directory = context.getExternalFilesDir("results");
        if (directory != null && runId.matches("[A-Za-z0-9_-]{1,64}")) {
            try (OutputStream out = new FileOutputStream(new File(directory, runId + ".error"))) {
                out.write(message.getBytes(StandardCharsets.UTF_8));
            } catch (IOException error) {
                failure = message + " (and this could not be written for the host: " + error + ")";
            }
        }
    }

    private void await(double celsius, int limit) {
        waiting = context.getString(R.string.cooling, celsius, limit);
        notifyListener();
    }

    private void begin(int number, int count, Configuration point) {
        waiting = null;
        if (number == 1) {
            firstStartedMs = SystemClock.elapsedRealtime();
        }
        current = number;
        all = count;
        configuration = point;
        notifyListener();
    }

    private void add(SavedResult.Point line) {
        lines.add(line);
        notifyListener();
    }

    private void notifyListener() {
        for (Listener listener : new ArrayList<>(listeners)) {
            listener.onChange();
        }
    }
}
