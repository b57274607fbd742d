package org.edgekit.demo.bench;

import java.util.Arrays;
import org.edgekit.demo.inference.LatencySummary;

/**
 * Whether a point's figures may be believed: the host's rules over one process's samples, with its limits.
 * How much starts of the app differ is not among them, since a sweep of the app is one start.
 */
public final class Verdict {
    /** The host's verdicts that a point of the app can have, the decisive one first. */
    public enum Kind { UNVERIFIED, THROTTLED, UNSTABLE, VALID }

    /** Samples that a 90th percentile takes. */
    public static final int SAMPLES_FOR_P90 = 64;

    private static final double DRIFT = 0.05;
    private static final double SPREAD_WITHIN = 0.10;
    private static final double TEMPERATURE_RISE_CELSIUS = 15;
    private static final int MODE_SAMPLES = 30;
    private static final double MODE_DISTANCE = 0.03;
    private static final double MODE_SHARE = 0.10;
    private static final double MODE_EXPLAINED = 0.85;

    public final Kind kind;

    public final boolean hasTooFew;

    /** Median of the last third over that of the first, less one, where that is too much; 0 otherwise. */
    public final double drift;

    /** Relative spread where it is too wide; 0 otherwise. */
    public final double spread;

    /** Means of two groups that the samples fall into, ns; null where there is one group. */
    public final double[] modes;

    /** Asked threads did not take effect, or whether they did is not known. */
    public final boolean isUnverified;

    Verdict(SavedResult.Point point, long[] samplesNs) {
        isUnverified =
                point.effectiveThreads == null
                        ? point.threads > 1
                        : point.effectiveThreads != point.threads;
        hasTooFew = samplesNs.length < SAMPLES_FOR_P90;
        double drifts = drift(samplesNs);
        drift = Math.abs(drifts) > DRIFT ? drifts : 0;
        double spreads = new LatencySummary(samplesNs).relativeSpread;
        spread = spreads > SPREAD_WITHIN ? spreads : 0;
        modes = modes(samplesNs);
        boolean isHot =
                point.reasons.contains(Circumstances.HOT)
                        || point.celsiusBefore != null
                                && point.celsiusAfter != null
                                && point.celsiusAfter - point.celsiusBefore > TEMPERATURE_RISE_CELSIUS;
        boolean isUnstable =
                hasTooFew || drift != 0 || spread != 0 || modes != null || !point.reasons.isEmpty()
                        || !point.status.equals("done");
        kind =
                isUnverified
                        ? Kind.UNVERIFIED
                        : isHot ? Kind.THROTTLED : isUnstable ? Kind.UNSTABLE : Kind.VALID;
    }

    private static double drift(long[] samples) {
        int third = samples.length / 3;
        if (third == 0) {
            return 0;
        }
        double first = new LatencySummary(Arrays.copyOf(samples, third)).medianNs;
        long[] end = Arrays.copyOfRange(samples, samples.length - third, samples.length);
        return new LatencySummary(end).medianNs / first - 1;
    }

    /** Otsu's threshold (1979): the split that explains most of the variance; the outer 2 % are left out. */
    private static double[] modes(long[] samples) {
        if (samples.length < MODE_SAMPLES) {
            return null;
        }
        long[] ordered = samples.clone();
        Arrays.sort(ordered);
        double low = LatencySummary.percentile(ordered, 2);
        double high = LatencySummary.percentile(ordered, 98);
        long[] kept = Arrays.stream(ordered).filter(one -> one >= low && one <= high).toArray();
        double total = Arrays.stream(kept).sum();
        double mean = total / kept.length;
        double variance = 0;
        for (long one : kept) {
            variance += (one - mean) * (one - mean);
        }
        double best = 0;
        double running = 0;
        double belowBest = 0;
        int split = 0;
        for (int index = 1; index < kept.length; index++) {
            running += kept[index - 1];
            double off = running - index * mean;
            double between = off * off * kept.length / ((double) index * (kept.length - index));
            if (between > best) {
                best = between;
                split = index;
                belowBest = running;
            }
        }
        double share = (double) split / kept.length;
        if (variance == 0
                || best < MODE_EXPLAINED * variance
                || share < MODE_SHARE
                || share > 1 - MODE_SHARE) {
            return null;
        }
        double first = belowBest / split;
        double second = (total - belowBest) / (kept.length - split);
        double median = LatencySummary.percentile(kept, 50);
        return second - first > MODE_DISTANCE * median ? new double[] {first, second} : null;
    }
}
