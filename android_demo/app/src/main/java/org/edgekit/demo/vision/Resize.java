package org.edgekit.demo.vision;

/** One way to change a picture's size; each equals a library of the host byte for byte. For one thread. */
public interface Resize {
    /** Returns the picture in another size; the next call overwrites it. */
    RgbImage resize(RgbImage source, int width, int height);
}
