"""Probes a device, locks it, and puts runner and models on it."""
