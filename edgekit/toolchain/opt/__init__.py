"""Paddle Lite opt and its isolated environments."""
