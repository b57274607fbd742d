"""Measure one artifact in the app and in the shell: a slower one in the app is a known complaint."""

from __future__ import annotations

import msgspec

from edgekit.core.measurement import Point, Result, Status
from edgekit.core.stats import median
from edgekit.errors import InputError
from edgekit.judge.intervals import Interval, compared_latencies, process_medians, ratio_interval


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration, measured in the app and in the shell.

    Attributes:
        shell_ns, app_ns: Median of the processes' medians; None where nothing was measured.
        app_over_shell: Ratio of the two with its 95 % interval over processes, of their lower quartiles; None
            with fewer than two processes on a side.
    """

    model: str
    engine: str
    threads: int
    power_mode: str | None
    shell_ns: float | None
    app_ns: float | None
    app_over_shell: Interval | None


def pair_up(app: Result, shell: Result) -> list[Pair]:
    """The app's points, each with the shell runner's of the same artifact, engine and threads.

    Power modes are compared where both have one; the app's ONNX Runtime binds no threads.

    Raises:
        InputError: The results are of different devices, or have no artifact in common.
    """
    if app.target.serial != shell.target.serial:
        raise InputError(
            f"comparing the app with the shell: one ran on {app.target.serial}, the other on "
            f"{shell.target.serial}",
            hint=f"edgekit bench --device {app.target.serial} -o FILE measures in the shell",
        )
    pairs = [_pair(point, shell) for point in app.points]
    if all(pair.shell_ns is None for pair in pairs):
        raise InputError(
            "comparing the app with the shell: the shell's result has none of the app's artifacts with the "
            "same engine and threads",
            hint=f"edgekit bench --device {app.target.serial} --engine {app.points[0].engine} -o FILE",
        )
    return pairs


def _pair(point: Point, shell: Result) -> Pair:
    twins = [other for other in shell.points if _same(point, other)]
    sides = [twins, [point] if point.status is Status.DONE else []]
    shell_medians, app_medians = ([value for one in side for value in process_medians(one)] for side in sides)
    return Pair(
        model=point.model,
        engine=point.engine,
        threads=point.requested_threads,
        power_mode=point.power_mode.value if point.power_mode else None,
        shell_ns=median(shell_medians) if shell_medians else None,
        app_ns=median(app_medians) if app_medians else None,
        app_over_shell=ratio_interval(
            *([latency for one in side for latency in compared_latencies(one)] for side in sides)
        ),
    )


def _same(app: Point, shell: Point) -> bool:
    modes = {app.power_mode, shell.power_mode} - {None}
    return (
        shell.status is Status.DONE
        and app.artifact is not None
        and shell.artifact is not None
        and app.artifact.sha256 == shell.artifact.sha256
        and app.engine == shell.engine
        and app.requested_threads == shell.requested_threads
        and shell.batch_size == 1
        and len(modes) <= 1
    )
