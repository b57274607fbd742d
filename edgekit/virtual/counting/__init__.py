"""Exact instruction counts of emulated programs."""
