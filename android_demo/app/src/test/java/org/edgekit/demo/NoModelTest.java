package org.edgekit.demo;

import static org.junit.Assert.assertTrue;
import static org.junit.Assume.assumeNotNull;

import org.edgekit.demo.ui.BenchmarkActivity;
import org.edgekit.demo.ui.InfoActivity;
import org.edgekit.demo.ui.MainActivity;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;

/** An app without any model that fits: {@code edgekit.no_model} is a part of the message. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34, qualifiers = "w411dp-h891dp-xhdpi")
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public class NoModelTest {
    @Test
    public void everyScreenSaysSo() throws Exception {
        String part = System.getProperty("edgekit.no_model");
        assumeNotNull(part);
        MainActivity main = Robolectric.buildActivity(MainActivity.class).setup().get();
        String message = Screen.awaitError(main);
        assertTrue(message, message.contains(part));
        Screen.capture(main, "error_no_model");
        main.findViewById(R.id.sample).performClick();
        assertTrue(Screen.isShown(main, R.id.error));
        BenchmarkActivity bench = Robolectric.buildActivity(BenchmarkActivity.class).setup().get();
        bench.findViewById(R.id.start).performClick();
        Screen.await("the sweep has failed", () -> !Screen.text(bench, R.id.bench_end).isEmpty());
        assertTrue(Screen.text(bench, R.id.bench_end).contains(part));
        InfoActivity info = Robolectric.buildActivity(InfoActivity.class).setup().get();
        Screen.await(
                "the information is shown",
                () -> Screen.text(info, R.id.information_text).contains(part));
    }
}
