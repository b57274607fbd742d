"""Options and look-ups for models and target machines that several commands share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgekit.cli.options import ANYWAY, named_device
from edgekit.engines.registry import device_engines, engines, host_engines, option_choices
from edgekit.errors import EdgekitError

if TYPE_CHECKING:
    from edgekit.targets.target import Subject, Target

F = TypeVar("F", bound=Callable[..., Any])


def one_device_option(function: F) -> F:
    """Add `--device`, once."""
    return click.option(
        "--device",
        metavar="SERIAL",
        callback=named_device,
        help="Run on this device: adb serial, HOST:PORT, ssh://user@host, or a virtual device's name.",
    )(function)


def ray_option(function: F) -> F:
    """Add `--ray`, the address of a cluster."""
    return click.option(
        "--ray",
        "cluster",
        metavar="ADDRESS",
        help="Spread the pictures over the workers of a Ray cluster: HOST:PORT of its head, auto for the one "
        "that runs here, local for one of this machine.",
    )(function)


def engine_list(*, host: bool = False, device: bool = False) -> str:
    """Return names of engines for the help of `--engine`: of this machine, of devices, or of both."""
    here, there = ", ".join(host_engines()), ", ".join(device_engines())
    if host and device:
        return f"here {here}; on devices {there}"
    return here if host else there


def engine_option_list() -> str:
    """Return engine options for the help of `--engine-option`: `onednn=on|off (paddle)`."""
    owners: dict[str, list[str]] = {}
    for name, spec in engines().items():
        for option, values in option_choices(spec).items():
            owners.setdefault(f"{option}={'|'.join(values)}", []).append(name)
    return ", ".join(f"{option} ({', '.join(names)})" for option, names in owners.items())


def worker_count(workers: int | None, threads: int, device: str | None) -> int:
    """Return the number of parallel lanes: as many as cores allow on the host, one on a device.

    Raises:
        UsageError: More than one lane was asked for on a device.
    """
    if device is not None:
        if workers is not None and workers > 1:
            raise click.UsageError("--workers is for this machine; on a device raise --threads")
        return 1
    from edgekit._process import usable_cores

    return workers or max(1, usable_cores() // threads)


@contextlib.contextmanager
def one_target(
    device: str | None,
    adb_servers: Sequence[str],
    *,
    install: bool,
    engine: str | None = None,
    threads: int = 1,
) -> Iterator[Target]:
    """Yield this machine where no device is given, else the device, held until the end.

    Args:
        device: Serial of the device; None for this machine.
        adb_servers: Addresses of the adb servers where the device may be.
        install: Whether packages and components of an engine may be installed on the way.
        engine: Engine whose first runner starts on this machine before the modules that use it are imported.
        threads: Threads of that runner.
    """
    if device is None:
        if adb_servers:
            raise click.UsageError("--adb-server is for --device")
        from edgekit.transports.local import LocalTransport

        with contextlib.closing(LocalTransport()) as transport:
            if engine is not None:
                from edgekit.runners.launch import host_launcher, start_ahead

                # Where it cannot be had the prediction says so.
                with contextlib.suppress(EdgekitError):
                    start_ahead(transport, host_launcher(engine, install=False, huge_pages=True), threads)
            from edgekit.targets.target import HostTarget

            yield HostTarget(install=install, huge_pages=True, transport=transport)
        return
    from edgekit.targets.device import opened_targets

    with opened_targets([device], adb_servers, install=install) as targets:
        yield targets[0]


def parse_engine_options(words: Sequence[str]) -> dict[str, str]:
    """Parse NAME=VALUE words into a dictionary. Raises UsageError for any other word."""
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise click.UsageError(f"--engine-option {word!r}: write NAME=VALUE, e.g. onednn=off")
        pairs[name] = value
    return pairs


def find_subjects(names: Sequence[str], *, anyway: bool = False) -> list[Subject]:
    """Return the exported models with these names or directories; all exported models without names.

    Args:
        names: NAMEs or artifact directories.
        anyway: Return also artifacts that failed their check, as `--anyway` on the command line does.
    """
    from edgekit.convert.manifest import find_artifacts, list_artifacts
    from edgekit.targets.target import Subject

    found = [find_artifacts(name) for name in dict.fromkeys(names)] if names else list_artifacts()
    anyway = anyway or bool(click.get_current_context().meta.get(ANYWAY))
    return [Subject(directory=directory, manifest=manifest, anyway=anyway) for directory, manifest in found]


def find_subject(name: str) -> Subject:
    """Return the exported model with a name or directory."""
    return find_subjects([name])[0]
