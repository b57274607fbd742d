"""Exported models as a service: the Open Inference Protocol by MLServer."""
