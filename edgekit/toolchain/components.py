"""Components that edgekit can install; `toolchain` and `doctor` use this list."""

from __future__ import annotations

import difflib

from edgekit.engines.registry import native_engines, wheel_engines
from edgekit.errors import InputError
from edgekit.toolchain import paddle
from edgekit.toolchain.build import native
from edgekit.toolchain.build.runtimes import provider
from edgekit.toolchain.component import Component
from edgekit.toolchain.converters import COMPONENTS as CONVERTERS
from edgekit.toolchain.opt import install as opt
from edgekit.toolchain.python import cpython, wheels

COMPONENTS: tuple[Component, ...] = (
    paddle.COMPONENT,
    opt.COMPONENT,
    *CONVERTERS,
    *(provider(engine).component for engine in native_engines()),
    cpython.COMPONENT,
    *(wheels.component(engine) for engine in wheel_engines()),
    native.COMPONENT,
)
"""All components, in the order of display."""


def component(name: str) -> Component:
    """Return a component by name.

    Raises:
        InputError: No component has this name.
    """
    known = {each.name: each for each in COMPONENTS}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    raise InputError(
        f"toolchain: no component {name!r}; there are {', '.join(known)}",
        hint=f"edgekit toolchain install {near[0]}" if near else "edgekit toolchain list",
    )
