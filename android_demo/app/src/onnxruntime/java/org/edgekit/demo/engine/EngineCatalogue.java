package org.edgekit.demo.engine;

import java.util.Collections;
import java.util.List;

/** The engines of this flavour: ONNX Runtime alone. */
public final class EngineCatalogue {
    private EngineCatalogue() {}

    public static List<Engine> engines() {
        return Collections.singletonList(new OnnxRuntimeEngine());
    }
}
