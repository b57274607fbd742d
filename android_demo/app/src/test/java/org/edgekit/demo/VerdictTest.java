package org.edgekit.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;
import static org.junit.Assume.assumeNotNull;

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Locale;
import org.edgekit.demo.bench.SavedResult;
import org.edgekit.demo.bench.Verdict;
import org.json.JSONArray;
import org.json.JSONObject;
import org.junit.Test;
import org.junit.experimental.categories.Category;
import org.junit.runner.RunWith;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.annotation.Config;

/**
 * The verdicts are the host's: {@code edgekit.verdicts} is a directory with {@code points.json}, an array of pairs of
 * a result with one point and the host's verdict with its reasons.
 */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34)
@Category(Smoke.class)
public class VerdictTest {
    @Test
    public void equalsTheHosts() throws Exception {
        String directory = System.getProperty("edgekit.verdicts");
        assumeNotNull(directory);
        byte[] text = Files.readAllBytes(new File(directory, "points.json").toPath());
        JSONArray cases = new JSONArray(new String(text, StandardCharsets.UTF_8));
        assertTrue(cases.length() > 5);
        for (int index = 0; index < cases.length(); index++) {
            JSONObject one = cases.getJSONObject(index);
            File result = new File(directory, "result" + index + ".json");
            Files.write(result.toPath(), one.getJSONObject("result").toString().getBytes(StandardCharsets.UTF_8));
            Verdict verdict = SavedResult.read(result).points.get(0).verdict;
            String reasons = one.getString("reasons");
            assertEquals(reasons, one.getString("verdict"), verdict.kind.name().toLowerCase(Locale.ROOT));
            assertEquals(reasons, reasons.contains("p90 needs"), verdict.hasTooFew);
            assertEquals(reasons, reasons.contains("drifts by"), verdict.drift != 0);
            assertEquals(reasons, reasons.contains("samples spread"), verdict.spread != 0);
            assertEquals(reasons, reasons.contains("two modes"), verdict.modes != null);
            assertEquals(reasons, reasons.contains("threads asked"), verdict.isUnverified);
        }
    }
}
