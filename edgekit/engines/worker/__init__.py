"""The host's runner: a program around one Python engine that speaks the runner protocol.

Run as `python .../edgekit/engines/worker .../edgekit/engines/NAME.py` by whichever interpreter has the
engine. It imports nothing of edgekit but this package and the engine's file, only the standard library, numpy
and the engine, and keeps to Python 3.7, because Paddle Lite's wheels exist for old interpreters only.
"""
