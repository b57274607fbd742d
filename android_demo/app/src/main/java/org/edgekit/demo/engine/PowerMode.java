package org.edgekit.demo.engine;

/** Paddle Lite's modes of binding threads to cores. */
public enum PowerMode {
    HIGH,
    LOW,
    FULL,
    NO_BIND,
    RAND_HIGH,
    RAND_LOW
}
