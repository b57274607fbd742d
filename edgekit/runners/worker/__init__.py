"""The host's runner: a program around one Python engine that speaks the runner protocol.

Run as `python .../edgekit/runners/worker --engine NAME` by whichever interpreter has the engine. It
imports nothing of edgekit, only the standard library, numpy and the engine, and keeps to Python 3.7,
because Paddle Lite's wheels exist for old interpreters only.
"""
