"""CPython, numpy and engines' wheels for devices, where the worker runs engines without a native runner."""
