"""Faults that a test or a user arms on a virtual device."""
