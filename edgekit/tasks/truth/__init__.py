"""Truth of pictures, and the figures of answers against it: `evaluation.py` is the interface."""
