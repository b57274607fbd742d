"""The simulated SoC: its files, its processes, its tools."""
