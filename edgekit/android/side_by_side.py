"""The same artifact in the app and in the shell: a model that is slower in the app is a known complaint."""

from __future__ import annotations

import msgspec

from edgekit.core.measurement import Point, Result, Status
from edgekit.core.stats import median
from edgekit.errors import InputError


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration, measured in both; a median of None was not measured.

    Attributes:
        app_over_shell: The app's median over the shell's.
    """

    model: str
    engine: str
    threads: int
    power_mode: str | None
    shell_ns: float | None
    app_ns: float | None

    @property
    def app_over_shell(self) -> float | None:
        if not self.shell_ns or self.app_ns is None:
            return None
        return self.app_ns / self.shell_ns


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
    samples = [sample for twin in twins for sample in twin.samples_ns]
    own = point.samples_ns if point.status is Status.DONE else []
    return Pair(
        model=point.model,
        engine=point.engine,
        threads=point.requested_threads,
        power_mode=point.power_mode.value if point.power_mode else None,
        shell_ns=median(samples) if samples else None,
        app_ns=median(own) if own else None,
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
