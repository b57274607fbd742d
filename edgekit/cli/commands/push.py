"""`edgekit push`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import (
    adb_server_option,
    allow_mismatch_option,
    device_option,
    echo_json,
    is_interactive,
    json_option,
    no_install_option,
    note,
)
from edgekit.cli.targets import engine_list
from edgekit.engines.registry import DEVICE_ENGINE

if TYPE_CHECKING:
    from edgekit.device.push import Model, Outcome, Pushed, ShowBytes
    from edgekit.toolchain.build.bundle import Bundle


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@device_option
@adb_server_option
@click.option(
    "--engine",
    default=DEVICE_ENGINE,
    show_default=True,
    help=f"Engine of the runner: {engine_list(device=True)}.",
)
@click.option("--clean", is_flag=True, help="Delete what edgekit put there, and nothing else.")
@allow_mismatch_option
@no_install_option
@json_option
def command(
    names: tuple[str, ...],
    devices: tuple[str, ...],
    adb_servers: tuple[str, ...],
    engine: str,
    clean: bool,
    allow_mismatch: bool,
    no_install: bool,
    as_json: bool,
) -> None:
    """Put the runner, its libraries and exported models (NAMEs; none: all in models/) on devices.

    Files already there are not sent again; the device checks every file by its hash.
    """
    from edgekit.device.push import clean_all, push_all
    from edgekit.engines.registry import device_side
    from edgekit.transports.connect import open_devices

    if clean and names:
        raise click.UsageError("--clean deletes everything; it takes no NAME")
    device_side(engine)
    transports = open_devices(devices, adb_servers)
    try:
        if clean:
            outcomes = clean_all(transports)
        else:
            models = _models(names, engine)
            bundle = _assemble(engine, install=not no_install)
            with _progress() as show:
                outcomes = push_all(transports, bundle, models, allow_mismatch=allow_mismatch, show=show)
    finally:
        for transport in transports:
            transport.close()
    _render(outcomes, as_json)


def _models(names: Sequence[str], engine: str) -> list[Model]:
    """Return all artifacts that the engine reads, of the named models or of all exported ones."""
    from edgekit.convert.manifest import find_artifacts, list_artifacts
    from edgekit.device.push import Model
    from edgekit.engines.registry import device_side
    from edgekit.errors import InputError

    kinds = tuple(device_side(engine).artifacts.values())
    found = [find_artifacts(name) for name in dict.fromkeys(names)] if names else list_artifacts()
    models = []
    for directory, manifest in found:
        artifacts = tuple(artifact for kind in kinds if (artifact := manifest.artifact(kind)) is not None)
        if artifacts:
            models.append(Model(directory=directory, manifest=manifest, artifacts=artifacts))
        elif names:
            raise InputError(
                f"pushing {manifest.name}: {directory} has no artifact for {engine}",
                hint=f"edgekit export {manifest.name}",
            )
        else:
            note(f"{manifest.name}: nothing exported for {engine}, left out")
    return models


def _assemble(engine: str, *, install: bool) -> Bundle:
    from edgekit.toolchain.build.bundle import assemble

    return assemble(engine, install=install, progress=note)


@contextlib.contextmanager
def _progress() -> Iterator[ShowBytes | None]:
    """Show a bar a device on a terminal, nothing elsewhere."""
    if not is_interactive():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def show(serial: str, sent: int, total: int) -> None:
            if serial not in tasks:
                tasks[serial] = bar.add_task(serial, total=total)
            bar.advance(tasks[serial], sent)

        yield show


def _render(outcomes: Sequence[Outcome], as_json: bool) -> None:
    if as_json:
        echo_json([outcome.report for outcome in outcomes])
    else:
        for outcome in outcomes:
            if outcome.error is None:
                click.echo(_line(outcome.report))
    failed = [outcome.error for outcome in outcomes if outcome.error is not None]
    for error in failed[1:]:
        note(f"error: {error.message}" + (f"\nhint: {error.hint}" if error.hint else ""))
    if failed:
        raise failed[0]


def _line(report: Pushed) -> str:
    from edgekit.core.units import format_bytes

    if report.freed_bytes is not None:
        return f"{report.serial}  freed {format_bytes(report.freed_bytes)} at {report.root}"
    sent = f"{report.sent_files} files, {format_bytes(report.sent_bytes)} sent"
    models = ", ".join(report.models) or "no models"
    return (
        f"{report.serial}  {report.engine} {report.engine_version}; {models}; {sent}, "
        f"{report.present_files} there already; {report.wall_s:.1f} s"
    )
