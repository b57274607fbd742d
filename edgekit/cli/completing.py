"""Completions of a word that is being typed: names of models, engines, devices, and files.

click completes commands, options, closed sets of values and paths by itself. A completion never fails and
never waits: what cannot be found at once is not offered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

Names = Callable[[], Iterable[str]]


def exported_names() -> list[str]:
    """Return the artifact directories under ./models."""
    from edgekit.convert.manifest import DEFAULT_ROOT
    from edgekit.core.artifact import MANIFEST_NAME

    return [path.parent.name for path in DEFAULT_ROOT.glob(f"*/{MANIFEST_NAME}")]


def zoo_names() -> Iterable[str]:
    """Return the models of the zoo."""
    from edgekit.zoo.registry import model_names

    return model_names()


def all_names() -> list[str]:
    """Return the models of the zoo and those under ./models."""
    return list({*zoo_names(), *exported_names()})


def engine_names() -> list[str]:
    """Return all engines."""
    from edgekit.engines.registry import engines

    return list(engines())


def device_names() -> list[str]:
    """Return the virtual devices that run, and what a running adb server has attached."""
    import contextlib
    import socket

    from edgekit.errors import EdgekitError
    from edgekit.transports.adb_server import parse_server
    from edgekit.virtual.state import list_instances

    names = {each.config.address for each in list_instances() if each.running}
    with contextlib.suppress(OSError, EdgekitError):
        server = parse_server(None)
        # A server is not started for a completion.
        socket.create_connection((server.host, server.port), timeout=0.2).close()
        names |= {each.serial for each in server.devices()}
    return list(names)


def component_names() -> list[str]:
    """Return the components of the toolchain."""
    from edgekit.toolchain.components import COMPONENTS

    return [each.name for each in COMPONENTS]


def cache_parts() -> list[str]:
    """Return the parts of the cache."""
    from edgekit.toolchain.cache import list_parts

    return [each.name for each in list_parts()]


# What stands for an argument or option of these names, in any command unless it is listed below: the names to
# offer, and the kind of paths (`dir`, `file`) where no name fits.
BY_NAME: dict[str, tuple[Names, str | None]] = {
    "name": (exported_names, "dir"),
    "names": (exported_names, "dir"),
    "models": (exported_names, "dir"),
    "engine": (engine_names, None),
    "engines": (engine_names, None),
    "device": (device_names, None),
    "devices": (device_names, None),
    "pictures": (tuple, "file"),
    "files": (tuple, "file"),
}
BY_COMMAND: dict[tuple[str, str], tuple[Names, str | None]] = {
    ("export", "models"): (zoo_names, "file"),
    ("export", "name"): (tuple, None),
    ("import", "name"): (tuple, None),
    ("fetch", "names"): (zoo_names, "file"),
    ("train", "model"): (zoo_names, "file"),
    ("show", "name"): (all_names, "file"),
    ("install", "name"): (component_names, None),
    ("clean", "parts"): (cache_parts, None),
    ("stop", "serial"): (device_names, None),
    ("fault", "serial"): (device_names, None),
}


def add_completions(command: click.Command) -> None:
    """Let the shell offer names for the parameters of a command and of its subcommands."""
    if isinstance(command, click.Group):
        for each in command.commands.values():
            add_completions(each)
    for parameter in command.params:
        key = (command.name or "", parameter.name or "")
        found = BY_COMMAND.get(key, BY_NAME.get(key[1]))
        if found is not None and not isinstance(parameter.type, click.Choice):
            parameter._custom_shell_complete = _offer(*found)


def _offer(
    names: Names, paths: str | None
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    def offer(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
        before, comma, last = typed.rpartition(",")
        try:
            found = sorted(name for name in names() if name.startswith(last))
        except Exception:  # an error would be printed into the line that the user is typing
            found = []
        if found or paths is None:
            return [CompletionItem(f"{before}{comma}{name}") for name in found]
        return [CompletionItem(typed, type=paths)]

    return offer
