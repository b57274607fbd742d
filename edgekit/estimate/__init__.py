"""Milliseconds on a phone, estimated from exact instruction counts."""
