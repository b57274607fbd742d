package org.edgekit.demo.engine;

/** One loaded model in one configuration; used by one thread at a time. */
public interface Session extends AutoCloseable {
    /**
     * Copies float32 values into an input, flat.
     *
     * @param index place of the input in the request
     */
    void setInput(int index, float[] values) throws EngineException;

    /** Runs one inference; timings cover this call. */
    void run() throws EngineException;

    /**
     * Returns one output of the last inference.
     *
     * @param index place of the output in the request
     */
    Output output(int index) throws EngineException;

    /** Number of threads that the engine uses; null where it does not report it. */
    Integer effectiveThreads();

    @Override
    void close();
}
