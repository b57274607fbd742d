"""Entry point of the worker; a directory is a program to Python."""

import importlib
import os
import sys
from types import ModuleType


def load_package() -> None:
    """Make `edgekit.engines` importable without edgekit's other packages or what lies beside them.

    This directory leaves sys.path: with it an engine's `import process` would find the worker's.
    """
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]
    package = ModuleType("edgekit")
    package.__path__ = [os.path.dirname(os.path.dirname(here))]
    sys.modules["edgekit"] = package


if __name__ == "__main__":
    load_package()
    code = importlib.import_module("edgekit.engines.worker.loop").main(sys.argv[1:])
    sys.stderr.flush()
    # Every answer has been flushed, and what Paddle does on its way out takes half a second.
    os._exit(code)
