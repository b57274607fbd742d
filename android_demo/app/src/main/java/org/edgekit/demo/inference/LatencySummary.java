package org.edgekit.demo.inference;

import java.util.Arrays;

/** Median and spread of inference times; defined like the host's. */
public final class LatencySummary {
    public final int count;
    public final double medianNs;

    /** Half the distance between the 10th and the 90th percentile over the median. */
    public final double relativeSpread;

    public LatencySummary(long[] samplesNs) {
        if (samplesNs.length == 0) {
            throw new IllegalArgumentException("no samples");
        }
        long[] ordered = samplesNs.clone();
        Arrays.sort(ordered);
        count = ordered.length;
        medianNs = percentile(ordered, 50);
        relativeSpread =
                medianNs > 0 ? (percentile(ordered, 90) - percentile(ordered, 10)) / 2 / medianNs : 0;
    }

    /** Percentile of samples that rise, between neighbours in proportion. */
    public static double percentile(long[] ordered, double rank) {
        double position = (ordered.length - 1) * rank / 100;
        int low = (int) Math.floor(position);
        int high = Math.min(low + 1, ordered.length - 1);
        return ordered[low] + (ordered[high] - ordered[low]) * (position - low);
    }
}
