"""Time or instructions of a model's operators."""
