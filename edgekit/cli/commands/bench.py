"""`edgekit bench`."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from edgekit.cli.bench_options import bench_options, given_options
from edgekit.cli.options import json_option
from edgekit.cli.output import echo_json, note, terminal_width
from edgekit.cli.progress import counting_bar, is_interactive
from edgekit.cli.targets import find_subjects
from edgekit.errors import INTERRUPTED_EXIT_CODE, EdgekitError, UsageError

if TYPE_CHECKING:
    from edgekit.bench.several import TargetOutcome
    from edgekit.bench.sweep import Progress, ShowProgress
    from edgekit.core.bench_options import BenchOptions
    from edgekit.targets.target import Target
    from edgekit.transports.connect import LeftOut


@click.command()
@bench_options
@click.option("--resume", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Continue the bench that wrote FILE; its finished points are kept.")  # fmt: skip
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Options as TOML; options on the command line take precedence.")  # fmt: skip
@json_option
def command(resume: Path | None, config: Path | None, as_json: bool, **asked: Any) -> int:
    """Measure the latency of exported models (NAMEs or artifact directories; none: all in models/).

    Every point is measured in several fresh processes that take turns with those of the other points;
    whatever has finished is in the result file, also after Ctrl-C (exit code 130). Several devices are
    measured at the same time.
    """
    from edgekit.core.bench_options import BenchOptions, Place

    given = given_options(asked)
    if resume is not None:
        options = _options_before(resume, given, config)
    else:
        options = BenchOptions(**{**(_configured(config, given) if config else {}), **given})
    if options.ab:
        options.check_place(Place.AB)
        from edgekit.cli.ab import bench_ab

        return bench_ab(options, as_json=as_json)
    options.check_place(Place.HOST if options.host else Place.DEVICE)
    return _bench(options, resume, as_json)


def _options_before(path: Path, given: dict[str, Any], config: Path | None) -> BenchOptions:
    """Return the options that a result file was measured with, for the file's device."""
    from edgekit.bench.results import load_result
    from edgekit.core.bench_options import OPTIONS

    own = {one.field for one in OPTIONS if one.option.of_call}
    if config is not None or not own.issuperset(given):
        raise click.UsageError(f"--resume takes everything else from {path}; leave the other options out")
    result = load_result(path)
    if result.options is None:
        words = list(result.command)
        again = words[words.index("bench") :] if "bench" in words else ["bench"]
        raise UsageError(
            f"resuming {path}: it does not say with which options it was measured",
            hint=shlex.join(["edgekit", *again]),
        )
    return msgspec.structs.replace(result.options, **given)


def _configured(path: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a configuration; a machine named on the command line replaces its machine."""
    from edgekit.bench.config import load_config

    configured = load_config(path)
    if given.keys() & {"host", "devices"}:
        for field in ("host", "devices", "adb_servers"):
            configured.pop(field, None)
    return configured


def _bench(options: BenchOptions, resume: Path | None, as_json: bool) -> int:
    from edgekit.bench.several import TargetOutcome, bench_all

    subjects = find_subjects(options.models, anyway=options.anyway)
    # Of several devices those that cannot be used are left out, and named at the end.
    without: list[TargetOutcome] = []
    several = len(set(options.devices)) > 1 or "all" in options.devices

    def left_out(serial: str, error: EdgekitError) -> None:
        note(f"left out: {serial}: {error.message}")
        without.append(TargetOutcome.failed(serial, error))

    with opened(options, left_out if several else None) as targets, bench_progress() as show:
        if resume is not None and several:
            raise UsageError("--resume with several devices", hint="resume each result file by itself")
        outcomes = (
            bench_all(
                targets,
                subjects,
                options,
                resume=resume,
                command=tuple(sys.argv),
                show=show,
                several=several,
            )
            if targets
            else []
        )
    return render([*outcomes, *without], as_json)


@contextlib.contextmanager
def opened(options: BenchOptions, left_out: LeftOut | None = None) -> Iterator[list[Target]]:
    """Hold the targets of a bench; of devices that cannot be had `left_out` is told, if given."""
    if options.host:
        from edgekit.targets.target import HostTarget

        with contextlib.closing(HostTarget(install=not options.no_install)) as target:
            yield [target]
        return
    from edgekit.targets.device import opened_targets

    with opened_targets(
        options.devices,
        options.adb_servers,
        install=not options.no_install,
        allow_mismatch=options.allow_mismatch,
        left_out=left_out,
    ) as targets:
        yield list(targets)


class LastFigures:
    """The figure of each point as its last turn left it, to show while its next turn runs."""

    def __init__(self) -> None:
        self._ended: dict[str, Progress] = {}

    def onto(self, step: Progress) -> Progress:
        """Return the step with its own figure, else with the last one of its point."""
        if step.latency_ns is not None or step.instructions is not None:
            self._ended[step.label] = step
        last = self._ended.get(step.label, step)
        return msgspec.structs.replace(step, latency_ns=last.latency_ns, instructions=last.instructions)


@contextlib.contextmanager
def bench_progress() -> Iterator[ShowProgress]:
    """Show a bar with what runs, its figure so far and the time left on a terminal, else a line a turn."""
    from edgekit.bench.sweep import describe

    if is_interactive():
        with counting_bar() as bar:
            task, figures = bar.add_task("starting", total=None), LastFigures()
            yield lambda step: bar.update(
                task,
                completed=step.done,
                total=step.total,
                description=describe(figures.onto(step), counted=False),
            )
        return

    def line(step: Progress) -> None:
        if step.latency_ns is not None or step.instructions is not None:
            # Its names are words, which a terminal does not obey.
            click.echo(describe(step), err=True)

    yield line


def render(outcomes: Sequence[TargetOutcome], as_json: bool) -> int:
    """Write results to stdout and what became of each target to stderr; return the exit code."""
    from edgekit.report.table import latency_table

    ended = [one.outcome for one in outcomes if one.outcome is not None]
    results = [outcome.result for outcome in ended]
    if as_json and results:
        echo_json(results[0] if len(outcomes) == 1 else results)
    elif not as_json and results:
        width = terminal_width()
        click.echo("\n\n".join(latency_table(one.result, width=width, file=one.path) for one in ended))
    codes = [tell_outcome(one) for one in outcomes]
    files = [shlex.quote(str(outcome.path)) for outcome in ended if outcome.path is not None]
    if len(outcomes) > 1 and files:
        failed = [one.serial for one in outcomes if one.error is not None]
        cut = sum(
            one.error is None and one.outcome is not None and one.outcome.interrupted for one in outcomes
        )
        note(f"{len(outcomes) - len(failed) - cut} of {len(outcomes)} devices are measured whole")
        if failed:
            note(f"failed: {', '.join(failed)}")
        note(f"one report of all: edgekit report --format html -o shelf.html {' '.join(files)}")
    return next((code for code in codes if code), 0)


def tell_outcome(one: TargetOutcome) -> int:
    """Write notes about one target to stderr; return its exit code."""
    from edgekit.core.measurement import Status
    from edgekit.errors import DeviceError, DeviceLostError

    outcome = one.outcome
    if outcome is not None:
        if outcome.path is not None:
            path = shlex.quote(str(outcome.path))
            note(f"result file: {path}")
            # A device that is lost, unauthorised or full can be had again.
            lost = one.error is not None and one.error.exit_code in (
                DeviceError.exit_code,
                DeviceLostError.exit_code,
            )
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
