"""`edgekit bench`."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import (
    IntList,
    WordList,
    adb_server_option,
    device_option,
    echo_json,
    is_interactive,
    json_option,
    no_install_option,
    note,
)
from edgekit.errors import INTERRUPTED_EXIT_CODE, UsageError

if TYPE_CHECKING:
    from edgekit.measure.bench import Outcome
    from edgekit.measure.sweep import Progress, ShowProgress
    from edgekit.measure.target import Subject, Target

POWER_MODES = ("HIGH", "LOW", "FULL", "NO_BIND", "RAND_HIGH", "RAND_LOW")
PRECISIONS = ("fp32", "fp16", "int8")


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--host", is_flag=True, help="Measure this machine instead of a device.")
@device_option
@adb_server_option
@click.option("--engine", "engines", type=WordList(), help="paddle, onnxruntime, openvino, paddlelite.")
@click.option("--precision", "precisions", type=WordList(PRECISIONS), default="fp32", show_default=True,
              help="Which artifacts.")  # fmt: skip
@click.option("--threads", type=IntList(), default="1", show_default=True, help="Threads of the engine.")
@click.option("--batch-size", "batch_sizes", type=IntList(), default="1", show_default=True,
              help="Inputs an inference.")  # fmt: skip
@click.option("--power-mode", type=click.Choice(POWER_MODES), help="Paddle Lite's core binding, on devices.")
@click.option("--cores", metavar="LIST", help="0,1 or big, little, all: bind the runner to them.")
@click.option("--warmup", type=click.IntRange(0), help="Fewest warm-up runs; 0 measures cold.  [default: 10]")
@click.option("--repeats", type=click.IntRange(1), help="Fewest timed runs of each process.  [default: 100]")
@click.option(
    "--min-secs", type=click.FloatRange(0), help="Fewest timed seconds of each process.  [default: 1]"
)
@click.option("--max-secs", type=click.FloatRange(0, min_open=True),
              help="Most timed seconds of each process.  [default: 60]")  # fmt: skip
@click.option(
    "--cooldown", type=click.FloatRange(0), default=0.0, help="Seconds of rest before each process."
)
@click.option("--processes", type=click.IntRange(1), help="Fresh processes a point.  [default: 3]")
@click.option("--engine-option", "engine_options", multiple=True, metavar="NAME=VALUE",
              help="onednn=off (paddle), spinning=off (onnxruntime); repeatable.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="The result file.  [default: results/TIME-TARGET.json]")  # fmt: skip
@no_install_option
@json_option
def command(
    names: tuple[str, ...],
    host: bool,
    devices: tuple[str, ...],
    adb_servers: tuple[str, ...],
    engines: tuple[str, ...] | None,
    precisions: tuple[str, ...],
    threads: tuple[int, ...],
    batch_sizes: tuple[int, ...],
    power_mode: str | None,
    cores: str | None,
    warmup: int | None,
    repeats: int | None,
    min_secs: float | None,
    max_secs: float | None,
    cooldown: float,
    processes: int | None,
    engine_options: tuple[str, ...],
    output: Path | None,
    no_install: bool,
    as_json: bool,
) -> int:
    """Measure the latency of exported models (NAMEs or artifact directories; none: all in models/).

    Every point is measured in several fresh processes that take turns with those of the other points;
    whatever has finished is in the result file, also after Ctrl-C (exit code 130).
    """
    from edgekit.core.measurement import PowerMode
    from edgekit.core.spec import Precision
    from edgekit.measure.bench import BenchOptions, bench

    options = BenchOptions(
        engines=engines or (("paddle",) if host else ("paddlelite",)),
        precisions=tuple(Precision(name) for name in precisions),
        threads=threads,
        batch_sizes=batch_sizes,
        cores=cores,
        power_mode=None if power_mode is None else PowerMode(power_mode),
        warmup=warmup,
        repeats=repeats,
        min_s=min_secs,
        max_s=max_secs,
        cooldown_s=cooldown,
        processes=processes,
        engine_options=_parse_engine_options(engine_options),
        output=output,
        command=tuple(sys.argv),
    )
    target = _open_target(host, devices, adb_servers, install=not no_install)
    with contextlib.closing(target), _progress() as show:
        outcome = bench(target, _subjects(names), options, show=show)
    return _render(outcome, as_json)


def _parse_engine_options(words: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise click.UsageError(f"--engine-option {word!r}: write NAME=VALUE, e.g. onednn=off")
        pairs[name] = value
    return pairs


def _open_target(host: bool, devices: Sequence[str], adb_servers: Sequence[str], *, install: bool) -> Target:
    from edgekit.measure.target import HostTarget

    if host and (devices or adb_servers):
        raise click.UsageError("--host excludes --device and --adb-server")
    if not host:
        raise UsageError("no target: this edgekit measures on the host", hint="edgekit bench --host")
    return HostTarget(install=install)


def _subjects(names: Sequence[str]) -> list[Subject]:
    from edgekit.convert.manifest import find_artifacts, list_artifacts
    from edgekit.measure.target import Subject

    found = [find_artifacts(name) for name in dict.fromkeys(names)] if names else list_artifacts()
    return [Subject(directory=directory, manifest=manifest) for directory, manifest in found]


@contextlib.contextmanager
def _progress() -> Iterator[ShowProgress]:
    """A bar on a terminal; elsewhere a line for each turn that has ended."""
    if is_interactive():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
        with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("starting", total=None)
            yield lambda step: bar.update(task, completed=step.done, total=step.total, description=step.label)
        return

    def line(step: Progress) -> None:
        from edgekit.measure.sweep import describe

        if step.latency_ns is not None:
            note(describe(step))

    yield line


def _render(outcome: Outcome, as_json: bool) -> int:
    from edgekit.report.table import latency_table

    if as_json:
        echo_json(outcome.result)
    else:
        click.echo(latency_table(outcome.result))
    note(f"result file: {shlex.quote(str(outcome.path))}")
    if outcome.interrupted:
        note("interrupted; what had finished is kept")
        return INTERRUPTED_EXIT_CODE
    if outcome.error is not None:
        note(f"error: {outcome.error.message}")
        if outcome.error.hint:
            note(f"hint: {outcome.error.hint}")
        return outcome.error.exit_code
    return 0
