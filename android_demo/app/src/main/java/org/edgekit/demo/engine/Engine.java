package org.edgekit.demo.engine;

import java.io.File;
import java.util.List;

/** Something that runs networks. A new one is a class like this and a line in {@code EngineCatalogue}. */
public interface Engine {
    /** The name that the host uses, e.g. {@code onnxruntime}. */
    String name();

    /** For people, e.g. {@code ONNX Runtime}. */
    String title();

    String version() throws EngineException;

    /** The artifact format that it loads, {@code onnx} or {@code nb}. */
    String format();

    /** The power modes that it can be told, the default first. */
    List<PowerMode> powerModes();

    /**
     * Loads a model.
     *
     * @param file the artifact, its hash already checked
     * @throws EngineException it does not load, does not have these tensors, or cannot run so
     */
    Session open(File file, SessionRequest request) throws EngineException;
}
