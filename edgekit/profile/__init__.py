"""The time or the instructions of a model's operators."""
