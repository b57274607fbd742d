package org.edgekit.demo.engine;

/** One loaded model in one configuration; used by one thread at a time. */
public interface Session extends AutoCloseable {
    /** Copies float32 values in the request's input shape, flat. */
    void setInput(float[] values) throws EngineException;

    /** Runs one inference; timings cover this call. */
    void run() throws EngineException;

    /** Returns the last inference's output, flat. */
    float[] output() throws EngineException;

    /** Number of threads that the engine uses; null where it does not report it. */
    Integer effectiveThreads();

    @Override
    void close();
}
