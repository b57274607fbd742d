package org.edgekit.demo.vision;

/** A picture that cannot be shown or classified, in words for the screen. */
public final class PictureException extends Exception {
    private static final long serialVersionUID = 1L;

    public PictureException(String message) {
        super(message);
    }

    public PictureException(String message, Throwable cause) {
        super(message, cause);
    }
}
