package org.edgekit.demo.engine;

import java.io.File;
import java.util.List;

/** An engine that runs networks. To add one, implement this and add a line to {@code EngineCatalogue}. */
public interface Engine {
    /** The name of the engine on the host, e.g. {@code onnxruntime}. */
    String name();

    /** The name for people, e.g. {@code ONNX Runtime}. */
    String title();

    String version() throws EngineException;

    /** The artifact format that it loads, {@code onnx} or {@code nb}. */
    String format();

    /** The supported power modes, the default first. */
    List<PowerMode> powerModes();

    /**
     * Loads a model.
     *
     * @param file the artifact, its hash already checked
     * @throws EngineException the model does not load, lacks these tensors, or cannot run like this
     */
    Session open(File file, SessionRequest request) throws EngineException;
}
