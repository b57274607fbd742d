"""Finds, installs and pins what the work needs: opt, device runtimes, the native runner."""
