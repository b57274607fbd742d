"""`edgekit verify`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit._text import printable
from edgekit.cli.options import WordList, adb_server_option, device_option, json_option, no_install_option
from edgekit.cli.output import color, echo_json
from edgekit.cli.targets import engine_list

if TYPE_CHECKING:
    from edgekit.parity.ladder import RungResult
    from edgekit.targets.target import Target
    from edgekit.vision.pictures import Picture


@click.command()
@click.argument("name")
@click.option(
    "--weights",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="The .pdparams that NAME was exported from, where it was not official or random.",
)
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, exists=True),
    metavar="PATH",
    help="Picture or directory of pictures: more inputs to compare on.",
)
@device_option
@adb_server_option
@click.option(
    "--engine", "engines", type=WordList(), help=f"On devices: {engine_list(device=True)}.  [default: all]"
)
@no_install_option
@json_option
def command(
    name: str,
    weights: Path | None,
    pictures: Path | None,
    devices: tuple[str, ...],
    adb_servers: tuple[str, ...],
    engines: tuple[str, ...] | None,
    no_install: bool,
    as_json: bool,
) -> None:
    """Check that every artifact of the exported model NAME agrees with its network.

    Exit code 5 names the first rung of the ladder that broke. --device adds the rungs of devices.
    """
    from edgekit.convert.manifest import find_artifacts
    from edgekit.engines.registry import device_side
    from edgekit.parity.verify import verify_with_devices

    for engine in engines or ():
        device_side(engine)
    if (engines or adb_servers) and not devices:
        raise click.UsageError("--engine and --adb-server are for --device")
    directory, manifest = find_artifacts(name)
    with _targets(devices, adb_servers, install=not no_install) as targets:
        ladder = verify_with_devices(
            directory,
            manifest,
            targets,
            install=not no_install,
            show=(lambda _rung: None) if as_json else show_rung,
            engines=engines,
            weights=weights,
            pictures=_pictures(pictures),
        )
    if as_json:
        echo_json(ladder)
    ladder.raise_for_failure(manifest)


def _pictures(path: Path | None) -> list[Picture]:
    """Return all pictures at a path; an unreadable one is an error."""
    if path is None:
        return []
    from edgekit.vision.pictures import Unreadable, find_pictures

    found = find_pictures([path])
    for item in found:
        if isinstance(item, Unreadable):
            raise item.error
    return [item for item in found if not isinstance(item, Unreadable)]


@contextlib.contextmanager
def _targets(devices: Sequence[str], adb_servers: Sequence[str], *, install: bool) -> Iterator[list[Target]]:
    if not devices:
        yield []
        return
    from edgekit.targets.device import opened_targets

    with opened_targets(devices, adb_servers, install=install) as targets:
        yield list(targets)


def show_rung(rung: RungResult, *, err: bool = False) -> None:
    """Show one rung as a line of the result."""
    from edgekit.core.parity import NUMBERS, TOP1
    from edgekit.parity.ladder import simulations

    colors = {"passed": "green", "failed": "red", "skipped": "yellow", "reference": "cyan"}
    status = rung.status.value
    words = [f"{rung.name:<16}", f"{rung.engine:<12}"]
    if rung.parity is not None:
        error = rung.parity.max_relative_error
        words.append("error -      " if error is None else f"error {error:.1e}")
        if rung.parity.judged_by == NUMBERS:
            words.append(f"of {rung.parity.inputs}")
        else:
            answers = "Top-1" if rung.parity.judged_by == TOP1 else "answers"
            words.append(f"{answers} {rung.parity.top1_agreement:.0%} of {rung.parity.inputs}")
        if rung.parity.reference in simulations():
            words.append(f"against {rung.parity.reference}")
    if rung.reason is not None:
        words.append(rung.reason.splitlines()[0])
    marked = click.style(f"{status:<10}", fg=colors[status])
    click.echo(f"{marked}  {printable('  '.join(words).rstrip())}", err=err, color=color())
