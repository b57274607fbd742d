package org.edgekit.demo;

/** The category of the few tests that run after every change; all of them run less often. */
public interface Smoke {}
