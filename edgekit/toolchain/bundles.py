"""Bundle of an engine for a device, by the engine's record: a native runner, or the worker in CPython."""

from __future__ import annotations

from edgekit.engines.registry import device_side
from edgekit.toolchain.build import bundle as native
from edgekit.toolchain.component import Report
from edgekit.toolchain.python.bundle import PythonBundle, assemble_python, has_python


def assemble(
    engine: str, target: str, *, install: bool = True, progress: Report
) -> native.Bundle | PythonBundle:
    """Install, fetch and build missing parts, and assemble the bundle.

    Args:
        engine: Engine that runs on devices.
        target: `aarch64` or `x86_64`.
        install: True to download what is missing.
        progress: Called with a line for the user about each step.

    Raises:
        ToolError: A part cannot be obtained; the hint lists the remedies.
        UnsupportedError: The engine does not run on devices of that target.
        UsageError: The engine does not exist.
    """
    if device_side(engine).native is None:
        return assemble_python(engine, target, install=install, progress=progress)
    return native.assemble(engine, target, install=install, progress=progress)


def available(engine: str, target: str) -> bool:
    """Return True where the library of an engine for devices of a target is installed here."""
    if device_side(engine).native is None:
        return has_python(engine)
    return native.available(engine, target)
