package org.edgekit.demo.bench;

import android.content.Intent;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.edgekit.demo.engine.PowerMode;

/** Settings of a sweep. Times are lower or upper limits, like those of the host's `bench`. */
public final class BenchPlan {
    /** Sent by the host to start a sweep; the extras are the constants below. */
    public static final String ACTION = "org.edgekit.demo.BENCH";

    public static final String EXTRA_RUN_ID = "run_id";
    public static final String EXTRA_SERIAL = "serial";
    public static final String EXTRA_EDGEKIT_VERSION = "edgekit_version";
    public static final String EXTRA_MODELS = "models";
    public static final String EXTRA_ENGINES = "engines";
    public static final String EXTRA_THREADS = "threads";
    public static final String EXTRA_POWER_MODE = "power_mode";
    public static final String EXTRA_WARMUP = "warmup";
    public static final String EXTRA_REPEATS = "repeats";
    public static final String EXTRA_WARMUP_MS = "warmup_ms";
    public static final String EXTRA_MIN_MS = "min_ms";
    public static final String EXTRA_MAX_MS = "max_ms";

    public static final String EXTRA_MAX_CELSIUS = "max_celsius";

    private static final int MAX_THREADS = 64;
    private static final int MAX_REPEATS = 1_000_000;
    private static final int MAX_MS = 3_600_000;

    public final String runId;

    /** The host's name of this device; `app` where the sweep was started on the screen. */
    public final String serial;

    public final String edgekitVersion;

    /** Names of bundled models; empty for all. */
    public final Set<String> models;

    /** Names of engines; empty for all of this flavour. */
    public final Set<String> engines;

    public final List<Integer> threads;

    /** Power mode; null for each engine's default. */
    public final PowerMode powerMode;

    public final int warmup;
    public final int repeats;
    public final long warmupNs;
    public final long minNs;
    public final long maxNs;

    /** Warmest battery with which the first point begins, degrees Celsius; 0 for any. */
    public final int maxCelsius;

    /**
     * Reads a plan from an intent's extras, all of them strings.
     *
     * @throws IllegalArgumentException an extra is malformed or out of bounds; the message names it
     */
    public BenchPlan(Intent intent) {
        runId = word(intent, EXTRA_RUN_ID, "app");
        serial = text(intent, EXTRA_SERIAL, "app");
        edgekitVersion = text(intent, EXTRA_EDGEKIT_VERSION, "unknown");
        models = words(intent, EXTRA_MODELS);
        engines = words(intent, EXTRA_ENGINES);
        threads = threads(text(intent, EXTRA_THREADS, "1"));
        powerMode = powerMode(text(intent, EXTRA_POWER_MODE, ""));
        warmup = number(intent, EXTRA_WARMUP, 10, 0, MAX_REPEATS);
        repeats = number(intent, EXTRA_REPEATS, 100, 1, MAX_REPEATS);
        warmupNs = number(intent, EXTRA_WARMUP_MS, 500, 0, MAX_MS) * 1_000_000L;
        minNs = number(intent, EXTRA_MIN_MS, 1000, 0, MAX_MS) * 1_000_000L;
        maxCelsius = number(intent, EXTRA_MAX_CELSIUS, 0, 0, 100);
        maxNs = number(intent, EXTRA_MAX_MS, 60_000, 1, MAX_MS) * 1_000_000L;
    }

    private static String text(Intent intent, String name, String otherwise) {
        String value = intent.getStringExtra(name);
        return value == null ? otherwise : value;
    }

    private static String word(Intent intent, String name, String otherwise) {
        String value = text(intent, name, otherwise);
        if (!value.matches("[A-Za-z0-9_-]{1,64}")) {
            throw new IllegalArgumentException(name + " is no plain word: " + value);
        }
        return value;
    }

    private static Set<String> words(Intent intent, String name) {
        Set<String> words = new LinkedHashSet<>();
        for (String part : text(intent, name, "").split(",")) {
            if (!part.trim().isEmpty()) {
                words.add(part.trim());
            }
        }
        return Collections.unmodifiableSet(words);
    }

    private static List<Integer> threads(String text) {
        List<Integer> numbers = new ArrayList<>();
        for (String part : text.split(",")) {
            numbers.add(bounded(EXTRA_THREADS, part, 1, MAX_THREADS));
        }
        return Collections.unmodifiableList(numbers);
    }

    private static PowerMode powerMode(String text) {
        if (text.isEmpty()) {
            return null;
        }
        try {
            return PowerMode.valueOf(text);
        } catch (IllegalArgumentException error) {
            throw new IllegalArgumentException(EXTRA_POWER_MODE + " is unknown: " + text, error);
        }
    }

    private static int number(Intent intent, String name, int otherwise, int least, int most) {
        return bounded(name, text(intent, name, Integer.toString(otherwise)), least, most);
    }

    private static int bounded(String name, String text, int least, int most) {
        try {
            int value = Integer.parseInt(text.trim());
            if (value >= least && value <= most) {
                return value;
            }
        } catch (NumberFormatException error) {
            throw new IllegalArgumentException(name + " is no whole number: " + text, error);
        }
        throw new IllegalArgumentException(
                name + " is " + text + "; " + least + " to " + most + " are possible");
    }
}
