package org.edgekit.demo.engine;

/** One loaded model in one configuration; used by one thread at a time. */
public interface Session extends AutoCloseable {
    /** Copies float32 values in the request's input shape, flat. */
    void setInput(float[] values) throws EngineException;

    /** One inference: what is timed. */
    void run() throws EngineException;

    /** The last inference's output, flat. */
    float[] output() throws EngineException;

    /** Threads that the engine works with, or null where it does not say. */
    Integer effectiveThreads();

    @Override
    void close();
}
