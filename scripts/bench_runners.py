"""ONNX Runtime by the worker over ONNX Runtime by the native runner, on this machine, in pairs.

Both load one artifact for one thread with the same version of ONNX Runtime, are alive together and take
turns in short blocks, over pairs of fresh processes. Printed are the ratios of the lower fiftieths of latency
and of CPU time, which a busy machine disturbs less than medians, with their 95 % intervals over the pairs
(Student's). Limit: 0.99 to 1.01 around the latency.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from bench_overhead import export

from edgekit.core.spec import Precision
from edgekit.judge.intervals import paired_interval
from edgekit.runners.protocol import Run
from edgekit.runners.session import RunnerSession
from edgekit.targets.target import HostTarget, Subject, load_request
from edgekit.toolchain.build.native import build_runner
from edgekit.transports.local import LocalTransport

ENGINE = "onnxruntime"
WARMUP, BLOCK = 20, 20
LIMITS = 0.99, 1.01


def block(session: RunnerSession, samples: list[int], cpu: list[float], inferences: int = BLOCK) -> None:
    ran = session.run(Run(warmup=1, warmup_ns=0, repeats=inferences, min_ns=0))
    samples += ran.samples_ns
    assert ran.cpu_ns is not None
    cpu.append(ran.cpu_ns / len(ran.samples_ns))


def pair(target: HostTarget, subject: Subject, blocks: int, native: Path) -> tuple[float, float]:
    """Worker over native runner in a pair of fresh processes: lower fiftieth of latency, and of CPU time."""
    artifact = subject.artifact(target.artifact_kind(ENGINE, Precision.FP32))
    request = load_request(target, subject, artifact)
    sides: tuple[tuple[list[int], list[float]], ...] = (([], []), ([], []))
    with (
        target.session(ENGINE, "worker") as worker,
        RunnerSession(LocalTransport(), [str(native)], label="native") as runner,
    ):
        for session in (worker, runner):
            session.load(request)
            block(session, [], [], WARMUP)
        for number in range(blocks):
            turns = list(zip((worker, runner), sides, strict=True))
            for session, (samples, cpu) in turns if number % 2 else reversed(turns):
                block(session, samples, cpu)
    lowest = [(statistics.quantiles(one, n=50)[0], statistics.quantiles(cpu, n=50)[0]) for one, cpu in sides]
    (ours, our_cpu), (theirs, their_cpu) = lowest
    return ours / theirs, our_cpu / their_cpu


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=10, help="pairs of fresh processes")
    parser.add_argument("--blocks", type=int, default=20, help=f"blocks of {BLOCK} inferences a process")
    arguments = parser.parse_args()
    native = build_runner(ENGINE, "x86_64", progress=print).path
    with tempfile.TemporaryDirectory(prefix="edgekit-runners-") as name:
        subject = export("PPLCNet_x0_25", Path(name) / "PPLCNet_x0_25")
        pairs = [pair(HostTarget(), subject, arguments.blocks, native) for _ in range(arguments.pairs)]
    held = True
    for what, ratios in zip(("latency", "CPU time"), zip(*pairs, strict=True), strict=True):
        ratio = paired_interval(ratios)
        assert ratio is not None, "--pairs 2 is the fewest"
        inside = LIMITS[0] <= ratio.low and ratio.high <= LIMITS[1]
        held = held and (inside or what != "latency")
        print(
            f"{what}: worker over native runner {ratio.estimate:.4f}, 95 % interval {ratio.low:.4f} to "
            f"{ratio.high:.4f} over {arguments.pairs} pairs"
        )
    return 0 if held else 9


if __name__ == "__main__":
    raise SystemExit(main())
