"""Entry point of the worker; a directory is a program to Python."""

import importlib.util
import os
import sys


def load_package() -> None:
    """Make this directory importable as the package `worker`, and take the directory off the path.

    With the directory itself first on sys.path, an engine's `import loop` would find the worker's.
    """
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]
    spec = importlib.util.spec_from_file_location(
        "worker", os.path.join(here, "__init__.py"), submodule_search_locations=[here]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["worker"] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    load_package()
    code = importlib.import_module("worker.loop").main(sys.argv[1:])
    sys.stderr.flush()
    # Every answer has been flushed, and what Paddle does on its way out takes half a second.
    os._exit(code)
