"""Registry of the tasks in `edgekit.tasks` and in other installed packages.

A task of another package is a module with TASK that the package announces in the entry point group
`edgekit.tasks`.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import shlex
from collections.abc import Sequence
from types import ModuleType

from edgekit._packages import entry_points
from edgekit.core.artifact import Manifest
from edgekit.errors import InputError, ToolError, UnsupportedError
from edgekit.tasks.task import Task

ENTRY_POINTS = "edgekit.tasks"
_NOT_TASKS = ("registry", "task", "truth")


@functools.cache
def find_task(name: str) -> type[Task]:
    """Return the class of a task.

    Raises:
        InputError: No installed package has it.
        ToolError: Another package's task is broken.
    """
    own = f"edgekit.tasks.{name}"
    if name.isidentifier() and name not in _NOT_TASKS and importlib.util.find_spec(own) is not None:
        return _task(importlib.import_module(own), own)
    for point in entry_points(ENTRY_POINTS):
        if point.name == name:
            try:
                module = point.load()
            except Exception as error:
                raise ToolError(
                    f"loading the task {name} of {point.value}: {type(error).__name__}: {error}",
                    hint="mend or uninstall its package",
                ) from error
            return _task(module, point.value)
    raise InputError(
        f"looking up the task {name!r}: no installed package has it",
        hint="install the package that brings it, or correct `task` in the card or the manifest",
    )


def require_pictures(manifest: Manifest, doing: str) -> None:
    """Raise UnsupportedError where a model answers nothing about pictures; `doing` begins the message."""
    if not find_task(manifest.task).takes_pictures:
        inputs = ", ".join(f"{each.name} {each.dtype}{list(each.shape)}" for each in manifest.inputs)
        raise UnsupportedError(
            f"{doing} {manifest.name}: nothing is known of its answers about pictures (it takes {inputs})",
            hint=f"edgekit predict {shlex.quote(manifest.name)} inputs.npz -o outputs.npz",
        )


def _task(module: ModuleType, place: str) -> type[Task]:
    found = getattr(module, "TASK", None)
    if not (isinstance(found, type) and issubclass(found, Task)):
        raise ToolError(f"loading the task {place}: its TASK is no subclass of edgekit.tasks.task.Task")
    return found


def task_of(manifest: Manifest, labels: Sequence[str] = ()) -> Task:
    """Return the meaning of a model's outputs. Raises as `find_task`, and InputError for a damaged rule."""
    return find_task(manifest.task)(manifest, labels)
