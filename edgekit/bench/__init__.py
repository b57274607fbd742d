"""The benchmark: sweeps of points, each measured in several fresh processes."""
