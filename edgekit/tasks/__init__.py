"""Meanings of a model's outputs, one file a task: `task.py` is their interface, `registry.py` finds them."""
