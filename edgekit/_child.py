"""Start of every Python child of edgekit: `python -E _child.py PATHS MODULE [ARGUMENT]…`.

MODULE is a module's name or the absolute path of a program.

`python -m` and `python -c` put the user's directory first on the path, and PYTHONPATH puts its own before the
standard library: a `json.py` in such a directory would replace the standard library's.
"""

import os
import sys


def _load_package(directory: str) -> None:
    """Make the package in `directory` be `edgekit`, whatever else on the path has this name."""
    from importlib.util import module_from_spec, spec_from_file_location

    start = os.path.join(directory, "__init__.py")
    spec = spec_from_file_location("edgekit", start, submodule_search_locations=[directory])
    assert spec is not None and spec.loader is not None
    package = sys.modules["edgekit"] = module_from_spec(spec)
    spec.loader.exec_module(package)


def main() -> None:
    """Run the module; PATHS, separated by colons, go to the end of the path."""
    here = os.path.dirname(os.path.abspath(__file__))
    del sys.path[0]  # this file's directory, in which edgekit's modules have other names
    _, paths, module, *arguments = sys.argv
    sys.path += [path for path in paths.split(os.pathsep) if path and path not in sys.path]
    _load_package(here)
    import runpy

    sys.argv = [module, *arguments]
    if os.path.isabs(module):
        runpy.run_path(module, run_name="__main__")
    else:
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
