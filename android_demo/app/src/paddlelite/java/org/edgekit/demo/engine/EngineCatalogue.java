package org.edgekit.demo.engine;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** The engines of this flavour: Paddle Lite and ONNX Runtime. */
public final class EngineCatalogue {
    private EngineCatalogue() {}

    public static List<Engine> engines() {
        return Collections.unmodifiableList(
                Arrays.asList(new PaddleLiteEngine(), new OnnxRuntimeEngine()));
    }
}
