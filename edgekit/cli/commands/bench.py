"""`edgekit bench`."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.options import (
    IntList,
    Percentage,
    WordList,
    adb_server_option,
    allow_mismatch_option,
    device_option,
    echo_json,
    is_interactive,
    json_option,
    no_install_option,
    note,
    terminal_width,
)
from edgekit.cli.targets import find_subjects, parse_engine_options
from edgekit.errors import INTERRUPTED_EXIT_CODE, UsageError

if TYPE_CHECKING:
    from edgekit.bench.several import TargetOutcome
    from edgekit.bench.sweep import Progress, ShowProgress
    from edgekit.targets.target import Target

POWER_MODES = ("HIGH", "LOW", "FULL", "NO_BIND", "RAND_HIGH", "RAND_LOW")
PRECISIONS = ("fp32", "fp16", "bf16", "int8")


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
@click.option("--power-mode", "power_modes", type=WordList(POWER_MODES), help="Core binding, on devices.")
@click.option("--cores", metavar="LIST", help="0,1 or big, little, all: bind the runner to them.")
@click.option("--warmup", type=click.IntRange(0), help="Fewest warm-up runs; 0 measures cold.  [default: 10]")
@click.option("--repeats", type=click.IntRange(1), help="Fewest timed runs of each process.  [default: 100]")
@click.option(
    "--min-secs", type=click.FloatRange(0), help="Fewest timed seconds of each process.  [default: 2]"
)
@click.option("--max-secs", type=click.FloatRange(0, min_open=True),
              help="Most timed seconds of each process.  [default: 60]")  # fmt: skip
@click.option(
    "--cooldown", type=click.FloatRange(0), default=0.0, help="Seconds of rest before each process."
)
@click.option("--processes", type=click.IntRange(1), help="Fresh processes a point.  [default: 5]")
@click.option("--target-ci", type=Percentage(), metavar="PERCENT",
              help="More processes until the 95 % interval is this narrow or --max-secs over.")  # fmt: skip
@click.option("--ab", is_flag=True, help="The second NAME against the first, interleaved, in one run.")
@click.option("--engine-option", "engine_options", multiple=True, metavar="NAME=VALUE",
              help="onednn=off (paddle), spinning=off (onnxruntime); repeatable.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="The result file.  [default: results/TIME-TARGET.json]")  # fmt: skip
@click.option("--resume", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Go on with the command that wrote FILE; what has finished in it is kept.")  # fmt: skip
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="The same options as TOML; those of the command line come first.")  # fmt: skip
@allow_mismatch_option
@no_install_option
@json_option
@click.pass_context
def command(ctx: click.Context, /, resume: Path | None, config: Path | None, **asked: Any) -> int:
    """Measure the latency of exported models (NAMEs or artifact directories; none: all in models/).

    Every point is measured in several fresh processes that take turns with those of the other points;
    whatever has finished is in the result file, also after Ctrl-C (exit code 130). Several devices are
    measured at the same time.
    """
    if asked.pop("ab"):
        from edgekit.cli.ab import bench_ab

        return bench_ab(ctx)
    if resume is not None:
        asked = _asked_before(ctx, resume)
    elif config is not None:
        asked = _configured(ctx, config, asked)
    return _bench(resume=resume, **asked)


def _asked_before(ctx: click.Context, path: Path) -> dict[str, Any]:
    """The parameters of the command that wrote a result file, for the device that the file is of."""
    from click.core import ParameterSource

    from edgekit.bench.results import load_result

    own = ("resume", "devices", "adb_servers", "no_install", "as_json")
    for name in ctx.params:
        if name not in own and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--resume takes everything else from {path}; leave the other options out")
    result = load_result(path)
    words = list(result.command)
    if "bench" not in words:
        raise UsageError(f"resuming {path}: it does not say which command wrote it")
    before = command.make_context("bench", words[words.index("bench") + 1 :]).params
    before.pop("resume")
    config = before.pop("config")
    if config is not None:
        again = command.make_context("bench", words[words.index("bench") + 1 :])
        before = _configured(again, config, before)
    before.pop("ab")
    host = result.target.transport == "local"
    given = {name: ctx.params[name] for name in own[1:] if ctx.params[name]}
    return {**before, "output": None, "devices": () if host else (result.target.serial,), **given}


def _configured(ctx: click.Context, path: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """The parameters with those of a configuration in the place of defaults."""
    from click.core import ParameterSource

    from edgekit.bench.config import load_config, to_words

    try:
        configured = command.make_context("bench", to_words(load_config(path)))
    except click.UsageError as error:
        raise UsageError(
            f"the configuration {path}: {error.format_message()}", hint="edgekit bench --help"
        ) from error
    given = {
        name
        for name in asked
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE and asked[name] != ()
    }
    if given & {"host", "devices"}:
        given |= {"host", "devices", "adb_servers"}
    return {name: value if name in given else configured.params[name] for name, value in asked.items()}


def _bench(
    names: tuple[str, ...],
    host: bool,
    devices: tuple[str, ...],
    adb_servers: tuple[str, ...],
    engines: tuple[str, ...] | None,
    precisions: tuple[str, ...],
    threads: tuple[int, ...],
    batch_sizes: tuple[int, ...],
    power_modes: tuple[str, ...] | None,
    cores: str | None,
    warmup: int | None,
    repeats: int | None,
    min_secs: float | None,
    max_secs: float | None,
    cooldown: float,
    processes: int | None,
    target_ci: float | None,
    engine_options: tuple[str, ...],
    output: Path | None,
    no_install: bool,
    as_json: bool,
    resume: Path | None,
    allow_mismatch: bool,
) -> int:
    from edgekit.bench.bench import BenchOptions
    from edgekit.bench.several import bench_all
    from edgekit.core.measurement import PowerMode
    from edgekit.core.spec import Precision

    options = BenchOptions(
        engines=engines or (("paddle",) if host else ("paddlelite",)),
        precisions=tuple(Precision(name) for name in precisions),
        threads=threads,
        batch_sizes=batch_sizes,
        cores=cores,
        power_modes=tuple(PowerMode(name) for name in power_modes or ()),
        warmup=warmup,
        repeats=repeats,
        min_s=min_secs,
        max_s=max_secs,
        cooldown_s=cooldown,
        processes=processes,
        target_ci=target_ci,
        engine_options=parse_engine_options(engine_options),
        output=output,
        command=tuple(sys.argv),
        resume=resume,
    )
    subjects = find_subjects(names)
    opened = _opened(host, devices, adb_servers, install=not no_install, allow_mismatch=allow_mismatch)
    with opened as targets, _progress() as show:
        outcomes = bench_all(targets, subjects, options, show=show)
    return _render(outcomes, as_json)


@contextlib.contextmanager
def _opened(
    host: bool, devices: Sequence[str], adb_servers: Sequence[str], *, install: bool, allow_mismatch: bool
) -> Iterator[list[Target]]:
    if host and (devices or adb_servers):
        raise click.UsageError("--host excludes --device and --adb-server")
    if host:
        from edgekit.targets.target import HostTarget

        with contextlib.closing(HostTarget(install=install)) as target:
            yield [target]
        return
    from edgekit.targets.device import opened_targets

    with opened_targets(devices, adb_servers, install=install, allow_mismatch=allow_mismatch) as targets:
        yield list(targets)


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
        from edgekit.bench.sweep import describe

        if step.latency_ns is not None or step.instructions is not None:
            note(describe(step))

    yield line


def _render(outcomes: Sequence[TargetOutcome], as_json: bool) -> int:
    from edgekit.report.table import latency_table

    results = [one.outcome.result for one in outcomes if one.outcome is not None]
    if as_json and results:
        echo_json(results[0] if len(outcomes) == 1 else results)
    elif not as_json and results:
        click.echo("\n\n".join(latency_table(result, width=terminal_width()) for result in results))
    codes = [_tell(one) for one in outcomes]
    return next((code for code in codes if code), 0)


def _tell(one: TargetOutcome) -> int:
    """What people should know of one target, on stderr; its exit code."""
    from edgekit.core.measurement import Status
    from edgekit.errors import DeviceLostError

    outcome = one.outcome
    if outcome is not None:
        path = shlex.quote(str(outcome.path))
        note(f"result file: {path}")
        lost = one.error is not None and one.error.exit_code == DeviceLostError.exit_code
        if lost or any(point.status is Status.INTERRUPTED for point in outcome.result.points):
            note(f"what had finished is kept; to go on: edgekit bench --resume {path}")
        if outcome.interrupted:
            note("interrupted")
            return INTERRUPTED_EXIT_CODE
    if one.error is None:
        return 0
    note(f"error: {one.error.message}")
    if one.error.hint:
        note(f"hint: {one.error.hint}")
    return one.error.exit_code
