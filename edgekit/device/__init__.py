"""Probe a device and put runner and models on it."""
