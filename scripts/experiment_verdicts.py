"""Are verdicts right? Circumstances that must be caught, made here, and a quiet run that must pass.

Measures an exported model (ONNX Runtime, one thread) as `bench` does: undisturbed, while every core burns,
with engines that grow slower and that have two speeds, and on a virtual device whose fastest core is slowed
down while it computes. Prints docs/validity.md's table; exits 1 where a verdict is not the expected one.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from spinning_worker import DRIFT_PER_S, ENGINE, SECOND_MODE, SLOW_SHARE, SpinningTarget

from edgekit.bench.bench import bench
from edgekit.convert.manifest import find_artifacts
from edgekit.core.bench_options import BenchOptions
from edgekit.core.measurement import Point, Verdict
from edgekit.parity.reference import References
from edgekit.runners.protocol import Ran, Run
from edgekit.runners.session import RunnerSession
from edgekit.targets.bundles import Bundles
from edgekit.targets.device import DeviceTarget
from edgekit.targets.target import HostTarget, Subject, Target
from edgekit.transports.connect import open_devices
from edgekit.virtual import lifecycle
from edgekit.virtual.faults.faults import parse_fault

SLOWED_KHZ = 1_171_200
SLOWED_CORE = 7


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """One circumstance and the verdict expected of it; `reason` is a part of one of its reasons."""

    name: str
    expected: Verdict
    reason: str | None
    measure: Callable[[Subject, Path], Point]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="PPLCNet_x1_0_doc_ori", help="NAME or its directory")
    parser.add_argument("--only", action="append", metavar="WORD", help="names that hold WORD; repeatable")
    asked = parser.parse_args()
    directory, manifest = find_artifacts(asked.model)
    subject = Subject(directory=directory, manifest=manifest)
    print("| experiment | expected | verdict | reasons |\n|---|---|---|---|")
    missed = 0
    for one in EXPERIMENTS:
        if asked.only and not any(word in one.name for word in asked.only):
            continue
        with tempfile.TemporaryDirectory() as work:
            point = one.measure(subject, Path(work))
        right = point.verdict is one.expected and (
            one.reason is None or any(one.reason in reason for reason in point.reasons)
        )
        missed += not right
        verdict = "none" if point.verdict is None else point.verdict.value
        reasons = "; ".join(point.reasons) or (point.error.message if point.error else "")
        wrong = "" if right else " WRONG"
        print(f"| {one.name} | {one.expected.value} | {verdict}{wrong} | {reasons} |", flush=True)
    return 1 if missed else 0


def measure_on(target: Target, subject: Subject, work: Path) -> Point:
    """The only point of a bench with its defaults."""
    options = BenchOptions(engines=(ENGINE,), output=str(work / "result.json"))
    outcome = bench(target, [subject], options, show=lambda _: None, references=References(HostTarget()))
    return outcome.result.points[0]


def undisturbed(subject: Subject, work: Path) -> Point:
    return measure_on(HostTarget(), subject, work)


def loaded(subject: Subject, work: Path) -> Point:
    """Beside two endless loops a core."""
    with contextlib.ExitStack() as stack:
        for _ in range(2 * (os.cpu_count() or 1)):
            burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(burner.wait, 10)
            stack.callback(burner.kill)
        return measure_on(HostTarget(), subject, work)


def distorted(kind: str) -> Callable[[Subject, Path], Point]:
    return lambda subject, work: measure_on(SpinningTarget(kind), subject, work)


class StruckSession(RunnerSession):
    """A session to whose device something happens when its timed inferences begin."""

    strike: Callable[[], object]

    @classmethod
    def of(cls, session: RunnerSession, strike: Callable[[], object]) -> StruckSession:
        made = cls.__new__(cls)
        vars(made).update(vars(session))
        made.strike = strike
        return made

    def run(self, request: Run, *, timeout_s: float | None = None) -> Ran:
        self.strike()
        return super().run(request, timeout_s=timeout_s)


class StruckTarget(DeviceTarget):
    """A device whose sessions are struck; `strike` is None until it is set."""

    strike: Callable[[], object] | None = None

    def session(
        self, engine: str, label: str, *, counted: bool = False, remake: Callable[[], str] | None = None
    ) -> RunnerSession:
        session = super().session(engine, label, counted=counted, remake=remake)
        return session if self.strike is None else StruckSession.of(session, self.strike)


@contextlib.contextmanager
def virtual_target() -> Iterator[tuple[StruckTarget, str]]:
    """A virtual device of its own, and its serial."""
    instance = lifecycle.start(soc="sd855", serial=f"verdicts-{os.getpid()}")
    try:
        with contextlib.closing(Bundles()) as bundles:
            [transport] = open_devices([instance.config.address])
            with contextlib.closing(StruckTarget(transport, bundles)) as target:
                yield target, instance.config.serial
    finally:
        lifecycle.stop(instance.config.serial)


def on_a_steady_device(subject: Subject, work: Path) -> Point:
    with virtual_target() as (target, _):
        return measure_on(target, subject, work)


def on_a_slowed_device(subject: Subject, work: Path) -> Point:
    """As `edgekit virtual fault SERIAL frequency 7 1171200` does, while the runner computes."""
    slowed = parse_fault("frequency", (str(SLOWED_CORE), str(SLOWED_KHZ)))
    with virtual_target() as (target, serial):
        target.strike = lambda: lifecycle.set_fault(serial, slowed)
        return measure_on(target, subject, work)


EXPERIMENTS = (
    Experiment(name="undisturbed", expected=Verdict.VALID, reason=None, measure=undisturbed),
    Experiment(
        name="the wrapped engine, no spinning",
        expected=Verdict.VALID,
        reason=None,
        measure=distorted("slower"),
    ),
    Experiment(
        name="two endless loops a core beside it",
        expected=Verdict.UNSTABLE,
        reason="other processes were busy",
        measure=loaded,
    ),
    Experiment(
        name=f"engine slower by {DRIFT_PER_S:.0%} every second",
        expected=Verdict.UNSTABLE,
        reason="drifts by +",
        measure=distorted("drifting"),
    ),
    Experiment(
        name=f"engine slower by {SECOND_MODE:.0%} in {SLOW_SHARE:.0%} of its inferences",
        expected=Verdict.UNSTABLE,
        reason="two modes",
        measure=distorted("bimodal"),
    ),
    Experiment(
        name="virtual device, left alone",
        expected=Verdict.EMULATED,
        reason=None,
        measure=on_a_steady_device,
    ),
    Experiment(
        name=f"virtual device, core {SLOWED_CORE} set to {SLOWED_KHZ // 1000} MHz",
        expected=Verdict.THROTTLED,
        reason=f"core {SLOWED_CORE} fell from",
        measure=on_a_slowed_device,
    ),
)

if __name__ == "__main__":
    sys.exit(main())
