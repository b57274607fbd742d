"""Serving of exported models over the Open Inference Protocol with MLServer."""
