"""`edgekit push`."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import (
    adb_server_option,
    allow_mismatch_option,
    device_option,
    json_option,
    no_install_option,
)
from edgekit.cli.output import echo_json, note
from edgekit.cli.progress import byte_bars
from edgekit.cli.targets import engine_list
from edgekit.engines.registry import DEVICE_ENGINE

if TYPE_CHECKING:
    from pathlib import Path

    from edgekit.core.artifact import Manifest
    from edgekit.core.device import DeviceInfo
    from edgekit.device.packed import Model, PackedBundle
    from edgekit.device.push import Outcome, Pushed


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@device_option
@adb_server_option
@click.option(
    "--engine",
    help=f"Engine of the runner: {engine_list(device=True)}.  [default: {DEVICE_ENGINE} where it can be had]",
)
@click.option("--clean", is_flag=True, help="Delete what edgekit put there, and nothing else.")
@allow_mismatch_option
@no_install_option
@json_option
def command(
    names: tuple[str, ...],
    devices: tuple[str, ...],
    adb_servers: tuple[str, ...],
    engine: str | None,
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
    from edgekit.targets.bundles import Bundles, default_engine
    from edgekit.transports.connect import open_devices

    if clean and names:
        raise click.UsageError("--clean deletes everything; it takes no NAME")
    if engine is not None:
        device_side(engine)
    found = [] if clean else _find(names)
    transports = open_devices(devices, adb_servers)
    try:
        if clean:
            outcomes = clean_all(transports)
        else:
            with contextlib.closing(Bundles(install=not no_install)) as bundles, byte_bars() as show:

                def choose(info: DeviceInfo) -> tuple[PackedBundle, list[Model]]:
                    chosen = engine or default_engine(info)
                    return bundles.get(chosen, info), _models(found, chosen, named=bool(names))

                outcomes = push_all(transports, choose, allow_mismatch=allow_mismatch, show=show)
    finally:
        for transport in transports:
            transport.close()
    _render(outcomes, as_json)


def _find(names: Sequence[str]) -> list[tuple[Path, Manifest]]:
    """Return the named models, or all exported ones."""
    from edgekit.convert.manifest import find_artifacts, list_artifacts

    return [find_artifacts(name) for name in dict.fromkeys(names)] if names else list_artifacts()


def _models(found: Sequence[tuple[Path, Manifest]], engine: str, *, named: bool) -> list[Model]:
    """Return all artifacts of the models that the engine reads; a named model must have one."""
    from edgekit.convert.manifest import remake, remake_with
    from edgekit.device.packed import Model
    from edgekit.engines.registry import device_side
    from edgekit.errors import InputError

    kinds = device_side(engine).kinds
    models = []
    for directory, manifest in found:
        artifacts = tuple(artifact for kind in kinds if (artifact := manifest.artifact(kind)) is not None)
        if artifacts:
            models.append(
                Model(
                    directory=directory,
                    manifest=manifest,
                    artifacts=artifacts,
                    remake=remake(manifest, directory),
                )
            )
        elif named:
            raise InputError(
                f"pushing {manifest.name}: {directory} has no artifact for {engine}",
                hint=remake_with(manifest, directory, kinds[0]),
            )
        else:
            note(f"{manifest.name}: nothing exported for {engine}, left out")
    return models


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
