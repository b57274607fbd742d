"""The engine that a valid bench of this machine found fastest: `--engine auto`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgekit.bench.results import RESULTS, load_result
from edgekit.core.measurement import Point, Status, Verdict
from edgekit.core.spec import Precision
from edgekit.engines.registry import option_variant
from edgekit.errors import InputError, UnsupportedError, UsageError
from edgekit.targets.target import Subject, Target
from edgekit.toolchain.component import Report


def fastest_engine(
    target: Target, subject: Subject, precision: Precision, threads: int, *, progress: Report
) -> str:
    """Return the engine that takes the least time a picture by its latest bench under `results/`.

    Only valid points count that ran this model's artifact on this machine, in this precision, with as many
    threads, and with the engine's options as `target` sets them: options that `bench --engine-option` changed
    are not those of the run to come.

    Args:
        target: The machine that is to compute.
        subject: The model.
        precision: Precision of the artifact.
        threads: Threads of a runner.
        progress: Called with the line that says what was chosen, and by which file.

    Raises:
        InputError: No such point has been measured.
    """
    hashes = {artifact.sha256 for artifact in subject.manifest.artifacts.values()}
    measured = sorted(
        (started_at, point.latency_ns / point.batch_size, point.engine, path)
        for path, started_at, point in _measured_on(target)
        if point.artifact is not None and point.artifact.sha256 in hashes
        if (point.precision, point.requested_threads) == (precision, threads)
        if _has_own_options(target, point)
        if point.status is Status.DONE and point.verdict is Verdict.VALID and point.latency_ns is not None
    )
    # An older result may be of another version of the engine.
    latest = {engine: started_at for started_at, _, engine, _ in measured}
    found = [(ns, engine, path) for at, ns, engine, path in measured if at == latest[engine]]
    if not found:
        count = f"{threads} thread" + "s" * (threads > 1)
        options = f"--precision {precision.value} --threads {threads}"
        where = "--host" if target.info.serial == "host" else f"--device {target.info.serial}"
        raise InputError(
            f"choosing the engine for {subject.manifest.name}: no valid result in {RESULTS}/ of this model "
            f"as it is now, on this machine, in {precision.value} and with {count}",
            hint=f"edgekit bench {subject.word} {where} {options}",
        )
    latency_ns, engine, path = min(found)
    others = len({engine for _, engine, _ in found})
    progress(f"engine {engine}: {latency_ns / 1e6:.2f} ms a picture in {path}, fastest of {others}")
    return engine


def _has_own_options(target: Target, point: Point) -> bool:
    """Return True where a point's options are those that the target loads the engine with unasked."""
    try:
        own = target.options(point.engine, point.precision, {})
    except (UsageError, UnsupportedError):  # the engine is none any more, or not one of this target
        return False
    return option_variant(point.engine, own) == option_variant(point.engine, point.engine_options)


def _measured_on(target: Target) -> Iterator[tuple[Path, str, Point]]:
    """Yield the points of this machine's readable results, with file and time."""
    for path in sorted(RESULTS.glob("*.json")):
        try:
            result = load_result(path)
        except InputError:
            continue
        if target.info.differs_from(result.target) is None:
            yield from ((path, result.started_at, point) for point in result.points)
