"""Finds, installs and pins tools: opt, device runtimes, the native runner."""
