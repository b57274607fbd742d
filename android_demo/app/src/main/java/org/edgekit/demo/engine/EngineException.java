package org.edgekit.demo.engine;

/** An engine refused or failed, in words for the screen. */
public final class EngineException extends Exception {
    private static final long serialVersionUID = 1L;

    /** True where the engine does not support the combination, false for a failure. */
    public final boolean unsupported;

    private EngineException(String message, boolean unsupported, Throwable cause) {
        super(message, cause);
        this.unsupported = unsupported;
    }

    public static EngineException failed(String message, Throwable cause) {
        return new EngineException(message, false, cause);
    }

    public static EngineException unsupported(String message) {
        return new EngineException(message, true, null);
    }
}
