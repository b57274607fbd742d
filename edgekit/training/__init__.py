"""Training and fine-tuning of the zoo's networks."""
