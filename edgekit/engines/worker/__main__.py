"""Entry point of the worker; Python runs a directory with this file as a program."""

import importlib
import os
import sys
from types import ModuleType


def load_package() -> None:
    """Make `edgekit.engines` importable without edgekit's other packages and this directory's modules.

    This directory leaves sys.path: an engine's `import process` would otherwise find the worker's module.
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
    # All answers are flushed by now, and Paddle's clean-up at exit takes half a second.
    os._exit(code)
