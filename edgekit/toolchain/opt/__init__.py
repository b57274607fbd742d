"""Paddle Lite opt and the isolated environments that it runs in."""
