"""Program for the device: starts the worker in an isolated Python, as `start.py PATHS WORKER ENGINE`.

PATHS are directories of packages, separated by `:`. numpy is imported before the worker reads requests: its
import belongs to the start of Python, which cold start leaves out.
"""

import runpy
import sys

if __name__ == "__main__":
    paths, worker, engine = sys.argv[1:]
    sys.path += paths.split(":")
    import numpy  # noqa: F401

    sys.argv = [worker, engine]
    runpy.run_path(worker, run_name="__main__")
