package org.edgekit.demo.model;

/** A bundled model that does not fit: what is wrong, in words for the screen. */
public final class ModelException extends Exception {
    private static final long serialVersionUID = 1L;

    public ModelException(String message) {
        super(message);
    }

    public ModelException(String message, Throwable cause) {
        super(message, cause);
    }
}
