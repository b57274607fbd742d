"""`edgekit profile`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgekit.cli.options import IntList, echo_json, json_option

if TYPE_CHECKING:
    from edgekit.measure.profile import Profile


@click.command()
@click.argument("name", metavar="NAME")
@click.option("--threads", type=IntList(), default="1,2", show_default=True, help="One session each.")
@click.option("--repeats", type=click.IntRange(1), default=50, show_default=True, help="Inferences.")
@json_option
def command(name: str, threads: tuple[int, ...], repeats: int, as_json: bool) -> int:
    """Show what each operator takes on this machine, by ONNX Runtime's own profiler.

    The host only: shares of another processor's kernels differ. For devices, `edgekit bench --device` gives
    the whole inference.
    """
    from edgekit.convert.manifest import find_artifacts
    from edgekit.measure.profile import profile_host
    from edgekit.measure.target import Subject

    directory, manifest = find_artifacts(name)
    profile = profile_host(Subject(directory=directory, manifest=manifest), threads=threads, repeats=repeats)
    if as_json:
        echo_json(profile)
    else:
        click.echo(_render(profile, threads))
    return 0


def _render(profile: Profile, threads: tuple[int, ...]) -> str:
    from edgekit.report.formats import as_text
    from edgekit.report.grid import Table

    rows = [
        (
            one.operator,
            str(one.nodes),
            f"{one.share:.1%}",
            *(f"{one.us[str(number)]:.0f}" if str(number) in one.us else "-" for number in threads),
            "-" if one.serial is None else "serial" if one.serial else "gains",
        )
        for one in profile.operators
    ]
    columns = [f"us, {number} thread{'s' * (number != 1)}" for number in threads]
    header = ("Operator", "nodes", "share", *columns, "threads")
    engine = f"{profile.engine} {profile.engine_version}"
    title = f"{profile.model} on this machine, {engine}, median of {profile.repeats}"
    return as_text([Table(title=title, header=header, rows=tuple(rows))])
