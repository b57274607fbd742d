"""`edgekit verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import echo_json, json_option, no_install_option

if TYPE_CHECKING:
    from edgekit.measure.verify import RungResult


@click.command()
@click.argument("name")
@click.option(
    "--weights",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="The .pdparams that NAME was exported from, where it was not official or random.",
)
@no_install_option
@json_option
def command(name: str, weights: Path | None, no_install: bool, as_json: bool) -> None:
    """Check that every artifact of the exported model NAME computes what its network does.

    Exit code 5 names the first rung of the ladder that broke.
    """
    from edgekit.convert.manifest import find_artifacts
    from edgekit.measure.verify import verify_on_host

    directory, manifest = find_artifacts(name)
    ladder = verify_on_host(
        directory,
        manifest,
        install=not no_install,
        show=(lambda _rung: None) if as_json else show_rung,
        weights=weights,
    )
    if as_json:
        echo_json(ladder)
    ladder.raise_for_failure()


def show_rung(rung: RungResult, *, err: bool = False) -> None:
    """One rung as a line of the result."""
    colors = {"passed": "green", "failed": "red", "skipped": "yellow", "reference": "cyan"}
    status = rung.status.value
    words = [click.style(f"{status:<10}", fg=colors[status]), f"{rung.name:<16}", f"{rung.engine:<12}"]
    if rung.parity is not None:
        error = rung.parity.max_relative_error
        words.append("error -      " if error is None else f"error {error:.1e}")
        words.append(f"Top-1 {rung.parity.top1_agreement:.0%} of {rung.parity.inputs}")
    if rung.reason is not None:
        words.append(rung.reason.splitlines()[0])
    click.echo("  ".join(words).rstrip(), err=err)
