package org.edgekit.demo;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;
import static org.junit.Assume.assumeNotNull;

import java.io.File;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import org.edgekit.demo.model.ModelSpec;
import org.edgekit.demo.vision.Preprocessor;
import org.edgekit.demo.vision.RgbImage;
import org.json.JSONArray;
import org.json.JSONObject;
import org.junit.Test;
import org.junit.experimental.categories.Category;
import org.junit.runner.RunWith;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.annotation.Config;

/**
 * Compares with tensors that the host's preprocessing made: {@code edgekit.preprocessing} is a directory
 * with {@code cases.json}, the pictures as raw RGB and the tensors as raw float32.
 */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34)
public class PreprocessorTest {
    @Test
    @Category(Smoke.class)
    public void equalsTheHosts() throws Exception {
        String directory = System.getProperty("edgekit.preprocessing");
        assumeNotNull(directory);
        JSONArray cases = new JSONArray(text(new File(directory, "cases.json")));
        assertTrue("there are cases", cases.length() > 0);
        for (int index = 0; index < cases.length(); index++) {
            compare(new File(directory), cases.getJSONObject(index));
        }
    }

    private static void compare(File directory, JSONObject one) throws Exception {
        byte[] pixels = Files.readAllBytes(new File(directory, one.getString("picture")).toPath());
        RgbImage picture = new RgbImage(one.getInt("width"), one.getInt("height"), pixels);
        ModelSpec spec = ModelSpec.parse(one.getJSONObject("model").toString(), "case");
        float[] found = new Preprocessor(spec.preprocess).apply(picture);
        FloatBuffer expected =
                ByteBuffer.wrap(Files.readAllBytes(new File(directory, one.getString("tensor")).toPath()))
                        .order(ByteOrder.LITTLE_ENDIAN)
                        .asFloatBuffer();
        assertEquals(one.getString("name"), expected.remaining(), found.length);
        double worst = 0;
        for (int index = 0; index < found.length; index++) {
            worst = Math.max(worst, Math.abs(found[index] - expected.get(index)));
        }
        System.out.println("preprocessing " + one.getString("name") + " " + worst);
        assertTrue(one.getString("name") + " differs by " + worst, worst <= one.getDouble("tolerance"));
    }

    private static String text(File file) throws Exception {
        return new String(Files.readAllBytes(file.toPath()), StandardCharsets.UTF_8);
    }
}
