package org.edgekit.demo.vision;

/** One way to change a picture's size; each equals a library of the host byte for byte. */
public interface Resize {
    RgbImage resize(RgbImage source, int width, int height);
}
