"""Engines, one file each: `RECORD` says what an engine reads and needs, `ENGINE` runs it in a worker.

Only `registry` imports the rest of edgekit: the other files also run in the worker's Python, which may be
version 3.7.
"""
