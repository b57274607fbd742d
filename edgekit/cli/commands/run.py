"""`edgekit run`."""

from __future__ import annotations

import contextlib
import functools
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from edgekit.cli.options import (
    PRECISIONS,
    IntList,
    WordList,
    adb_server_option,
    device_option,
    json_option,
    no_install_option,
)
from edgekit.cli.output import echo_json, echo_table, note, terminal_width
from edgekit.cli.targets import engine_list
from edgekit.errors import EdgekitError, InputError

if TYPE_CHECKING:
    from edgekit.bench.several import TargetOutcome
    from edgekit.core.artifact import Manifest
    from edgekit.core.bench_options import BenchOptions
    from edgekit.parity.ladder import Ladder
    from edgekit.targets.target import Target


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a run: what came of it, and how long it took, seconds."""

    name: str
    outcome: str
    seconds: float
    failed: bool = False


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """The document of `run --json`; `results` are the result files of bench."""

    model: str
    steps: tuple[Step, ...]
    results: tuple[str, ...]


@click.command()
@click.argument("name")
@click.option("--weights", metavar="pretrained|random|PATH",
              help="Weights of a network.  [default: what is exported, else pretrained]")  # fmt: skip
@device_option
@adb_server_option
@click.option("--engine", "engines", type=WordList(),
              help=f"Engines: {engine_list(host=True, device=True)}.  [default: those of bench]")  # fmt: skip
@click.option("--precision", "precisions", type=WordList(PRECISIONS), default="fp32",
              show_default=True, help="Precisions to measure with every engine.")  # fmt: skip
@click.option("--threads", type=IntList(), default="1", show_default=True, help="Threads of the engines.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write the report as a page.")  # fmt: skip
@no_install_option
@json_option
def command(
    name: str,
    weights: str | None,
    devices: tuple[str, ...],
    adb_servers: tuple[str, ...],
    engines: tuple[str, ...] | None,
    precisions: tuple[str, ...],
    threads: tuple[int, ...],
    html: Path | None,
    no_install: bool,
    as_json: bool,
) -> int:
    """Export NAME where it is not exported yet, check its artifacts, measure and report it, in one go.

    Without --device everything runs on this machine. With it the runners of the engines and the model are put
    on the device, and are checked and measured there. The steps are export, verify, bench and report with
    their defaults; a step that fails ends the run, and what the steps before it made stays.
    """
    from edgekit.core.bench_options import BenchOptions
    from edgekit.core.spec import Precision

    if adb_servers and not devices:
        raise click.UsageError("--adb-server is for --device")
    run = _Run(name, install=not no_install)
    try:
        directory, manifest = run.export(weights)
        options = BenchOptions(
            models=(str(directory),),
            host=not devices,
            devices=devices,
            adb_servers=adb_servers,
            precisions=tuple(map(Precision, precisions)),
            threads=threads,
            no_install=no_install,
            engines=engines or (),
        )
        from edgekit.cli.commands.bench import opened

        with opened(options) as targets:
            measured = options.engines or tuple({target.default_engine for target in targets})
            run.verify(directory, manifest, [] if options.host else targets, measured)
            outcomes = run.bench(options, targets)
        if html is not None:
            run.report(outcomes, html)
    finally:
        run.show(as_json=as_json)
    return run.exit_code


class _Run:
    """The steps of a run, and what came of them."""

    def __init__(self, name: str, *, install: bool) -> None:
        self._name = name
        self._install = install
        self._steps: list[Step] = []
        self._outcomes: list[TargetOutcome] = []
        self._said = ""
        self.exit_code = 0

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[None]:
        """Time a step; within it `_said` is set to what came of it."""
        note(f"{name} {self._name}")
        started, self._said = time.monotonic(), ""
        try:
            yield
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt)
            said = error.message if isinstance(error, EdgekitError) else f"{type(error).__name__}: {error}"
            self._add(name, "interrupted" if stopped else said, started, failed=True)
            raise
        self._add(name, self._said, started)

    def _add(self, name: str, outcome: str, started: float, *, failed: bool = False) -> None:
        seconds = round(time.monotonic() - started, 1)
        self._steps.append(Step(name=name, outcome=outcome, seconds=seconds, failed=failed))

    def export(self, weights: str | None) -> tuple[Path, Manifest]:
        """Make the artifacts, unless they are there and no weights are asked for."""
        from edgekit.api.making import export
        from edgekit.cli.commands.verify import show_rung
        from edgekit.convert.manifest import NoArtifactsError, find_artifacts

        with self._step("export"):
            if weights is None:
                with contextlib.suppress(NoArtifactsError):
                    directory, manifest = find_artifacts(self._name)
                    self._said = f"{directory} is there already"
                    return directory, manifest
            show = functools.partial(show_rung, err=True)
            chosen = "pretrained" if weights is None else weights
            made = export(self._name, weights=chosen, install=self._install, show=show, progress=note)
            kinds = ", ".join(made.manifest.artifacts)
            self._said = f"{made.directory}: {kinds}" + ("" if made.changed else ", unchanged")
            return made.directory, made.manifest

    def verify(
        self, directory: Path, manifest: Manifest, devices: Sequence[Target], engines: Sequence[str]
    ) -> None:
        """Climb the ladder, on devices with those engines; they get runner and model on the way."""
        from edgekit.cli.commands.verify import show_rung
        from edgekit.parity.verify import verify_with_devices

        with self._step("verify"):
            show = functools.partial(show_rung, err=True)
            ladder = verify_with_devices(
                directory, manifest, devices, install=self._install, show=show, engines=engines
            )
            ladder.raise_for_failure(manifest)
            self._said = _counts(ladder)

    def bench(self, options: BenchOptions, targets: Sequence[Target]) -> list[TargetOutcome]:
        """Measure; what fails on one target does not keep the others from it."""
        from edgekit.bench.several import bench_all
        from edgekit.cli.commands.bench import bench_progress, tell_outcome
        from edgekit.cli.targets import find_subjects

        with self._step("bench"), bench_progress() as show:
            subjects = find_subjects(options.models)
            outcomes = bench_all(targets, subjects, options, command=tuple(sys.argv), show=show)
            self._outcomes = outcomes
            points = [point for one in outcomes if one.outcome for point in one.outcome.result.points]
            verdicts = [point.verdict.value if point.verdict else point.status.value for point in points]
            words = (f"{verdicts.count(each)} {each}" for each in dict.fromkeys(verdicts))
            self._said = f"{len(points)} point{'s' * (len(points) != 1)}: {', '.join(words)}"
        codes = [tell_outcome(one) for one in outcomes]
        self.exit_code = next((code for code in codes if code), 0)
        return outcomes

    def report(self, outcomes: Sequence[TargetOutcome], path: Path) -> None:
        """Write the page of what was measured."""
        from edgekit._files import write_atomic
        from edgekit.report.html import as_html
        from edgekit.report.rows import result_rows

        with self._step("report"):
            results = [one.outcome.result for one in outcomes if one.outcome is not None]
            if not results:
                raise InputError(f"reporting {self._name}: nothing was measured", hint="edgekit doctor")
            write_atomic(path, as_html(results, result_rows(results), published=True) + "\n")
            self._said = str(path)

    def show(self, *, as_json: bool) -> None:
        """Write the results and the summary to stdout."""
        from edgekit.report.grid import Table
        from edgekit.report.table import latency_table

        ended = [one.outcome for one in self._outcomes if one.outcome is not None]
        if as_json:
            results = tuple(str(one.path) for one in ended if one.path is not None)
            echo_json(RunReport(model=self._name, steps=tuple(self._steps), results=results))
            return
        for one in ended:
            click.echo(latency_table(one.result, width=terminal_width(), file=one.path) + "\n")
        rows = tuple(
            (step.name, "failed" if step.failed else "done", f"{step.seconds:.1f}", step.outcome)
            for step in self._steps
        )
        echo_table(
            Table(title=self._name, header=("step", "", "seconds", "outcome"), rows=rows, words=(0, 1, 3))
        )


def _counts(ladder: Ladder) -> str:
    states = [rung.status.value for rung in ladder.rungs]
    return ", ".join(f"{states.count(each)} {each}" for each in dict.fromkeys(states))
