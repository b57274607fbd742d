package org.edgekit.demo.engine;

/** Where threads are bound, by Paddle Lite's names. */
public enum PowerMode {
    HIGH,
    LOW,
    FULL,
    NO_BIND,
    RAND_HIGH,
    RAND_LOW
}
