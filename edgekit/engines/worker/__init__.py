"""Runner of the host: a program around one Python engine that speaks the runner protocol.

Any interpreter that has the engine runs it, as `python .../edgekit/engines/worker
.../edgekit/engines/NAME.py`. It imports only this package, the engine's file, the standard library, numpy
and the engine, and stays compatible with Python 3.7, because Paddle Lite's wheels exist for old Pythons only.
"""
