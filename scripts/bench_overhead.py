"""Cost of measuring: inside a sample, and the worker's latency over that of a bare loop.

1. The clock readings and the call around nothing, as a share of the smallest network's latency:
   limit 0.1 %.
2. The worker over a bare loop around the same engine call in the worker's own process: limit 0.99 to 1.01.
3. The worker over a bare loop in a process of its own: limit 0.97 to 1.03. Beside it the same loop after
   `import hashlib`, over itself: an import that does no work in the loop moves its latency by a percent or
   two, as it moves libraries and heap to other addresses; no closer limit can be held between two programs.

All sides are alive and take turns in short blocks on one core, over pairs of fresh processes. Ratios are of
the lower fiftieths of latency, which other work disturbs less than medians, with their 95 % intervals over
the pairs (Student's), which have to lie inside the limits.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgekit.convert.manifest import find_artifacts
from edgekit.core.spec import Precision
from edgekit.engines.worker import timing
from edgekit.judge.intervals import paired_interval
from edgekit.runners.launch import host_launcher
from edgekit.runners.protocol import Run
from edgekit.runners.session import RunnerSession
from edgekit.targets.target import HostTarget, Subject, load_request
from edgekit.transports.local import LocalTransport

MODEL = "PPLCNet_x0_25"
OVERHEAD_LIMIT = 0.001
ENGINES = ("onnxruntime", "paddle")
WARMUP = 200
BLOCK = 50
WORKER, INSIDE = "worker", "loop in the worker's process"
ALONE, MOVED = "bare loop", "bare loop after an import"
# One side over another, and the limits of their ratio; None where it shows what no limit can be below.
RATIOS = ((WORKER, INSIDE, (0.99, 1.01)), (WORKER, ALONE, (0.97, 1.03)), (MOVED, ALONE, None))

# The least that somebody would write by hand; a number of inferences comes in, their times go out.
BARE = {
    "onnxruntime": """\
import json, sys, time
import numpy, onnxruntime
settings = onnxruntime.SessionOptions()
settings.intra_op_num_threads = settings.inter_op_num_threads = 1
model = sys.argv[1] + "/inference.onnx"
session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
binding = session.io_binding()
data = numpy.random.RandomState(0).standard_normal((1, 3, 224, 224)).astype("float32")
binding.bind_cpu_input(session.get_inputs()[0].name, data)
binding.bind_output(session.get_outputs()[0].name, "cpu")
for line in sys.stdin:
    times = []
    for _ in range(int(line)):
        start = time.perf_counter_ns()
        session.run_with_iobinding(binding)
        times.append(time.perf_counter_ns() - start)
    print(json.dumps(times), flush=True)
""",
    "paddle": """\
import json, os, sys, time
os.environ["OMP_NUM_THREADS"] = "1"
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
import numpy
from paddle import inference
config = inference.Config(sys.argv[1] + "/inference.pdmodel", sys.argv[1] + "/inference.pdiparams")
config.disable_gpu()
config.disable_glog_info()
config.enable_memory_optim()
config.enable_mkldnn()
config.set_cpu_math_library_num_threads(1)
predictor = inference.create_predictor(config)
handle = predictor.get_input_handle(predictor.get_input_names()[0])
data = numpy.random.RandomState(0).standard_normal((1, 3, 224, 224)).astype("float32")
handle.reshape(data.shape)
handle.copy_from_cpu(data)
for line in sys.stdin:
    times = []
    for _ in range(int(line)):
        start = time.perf_counter_ns()
        predictor.run()
        times.append(time.perf_counter_ns() - start)
    answers.write(json.dumps(times) + "\\n")
    answers.flush()
""",
}

# An engine file for the worker. The times of "its layers" are those of a bare loop in the worker's process.
LOOP_IN_WORKER = """\
import time
from edgekit.engines.worker.engine import layer
from edgekit.engines.{engine} import ENGINE as Engine
class WithBareLoop(Engine):
    def layer_times(self, arrays, runs):
        infer = self.bind(arrays)
        times = []
        for _ in range(runs):
            start = time.perf_counter_ns()
            infer()
            times.append(time.perf_counter_ns() - start)
        return [layer("all", "bare loop")], [[each / 1000] for each in times]
ENGINE = WithBareLoop
"""


class BareLoop:
    """A hand-written loop, in a process of its own on one core or on any."""

    def __init__(self, program: str, *arguments: Path, core: int | None = None) -> None:
        pinned = [] if core is None else ["taskset", "--cpu-list", str(core)]
        self._child = subprocess.Popen(
            [*pinned, sys.executable, "-c", program, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, inferences: int) -> list[int]:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(f"{inferences}\n")
        self._child.stdin.flush()
        times: list[int] = json.loads(self._child.stdout.readline())
        return times

    def close(self) -> None:
        self._child.communicate()


def sample_worker(session: RunnerSession, inferences: int) -> Sequence[int]:
    return session.run(Run(warmup=0, warmup_ns=0, repeats=inferences, min_ns=0)).samples_ns


def sample_inside(session: RunnerSession, inferences: int) -> list[int]:
    return [round(each * 1000) for (each,) in session.layer_times(inferences).microseconds]


def lowest(target: HostTarget, subject: Subject, engine: str, blocks: int, *, core: int) -> dict[str, float]:
    """Nanoseconds of an inference by each side, all in fresh processes on one core: the lower fiftieths."""
    artifact = subject.artifact(target.artifact_kind(engine, Precision.FP32))
    file = subject.directory / f"{engine}_and_loop.py"
    file.write_text(LOOP_IN_WORKER.format(engine=engine))
    *command, _ = host_launcher(engine).argv
    program = BARE[engine]
    with (
        contextlib.closing(BareLoop(program, subject.directory, core=core)) as alone,
        contextlib.closing(BareLoop("import hashlib\n" + program, subject.directory, core=core)) as moved,
        RunnerSession(LocalTransport(), [*command, str(file)], label=WORKER) as session,
    ):
        session.load(load_request(target, subject, artifact, cores=(core,)))
        sides = {
            WORKER: functools.partial(sample_worker, session),
            INSIDE: functools.partial(sample_inside, session),
            ALONE: alone.run,
            MOVED: moved.run,
        }
        return lowest_in_turns(sides, blocks, warmup=WARMUP, block=BLOCK)


def lowest_in_turns(
    sides: Mapping[str, Callable[[int], Sequence[int]]], blocks: int, *, warmup: int, block: int
) -> dict[str, float]:
    """Let the sides take turns in every order; return the lower fiftieth of each one's samples."""
    for infer in sides.values():
        infer(warmup)
    samples: dict[str, list[int]] = {name: [] for name in sides}
    for turns in itertools.islice(itertools.cycle(itertools.permutations(sides)), blocks):
        for name in turns:
            samples[name] += sides[name](block)
    return {name: statistics.quantiles(one, n=50)[0] for name, one in samples.items()}


def print_ratio(
    rounds: Sequence[Mapping[str, float]], one: str, other: str, limits: tuple[float, float] | None
) -> bool:
    """Print the ratio of two sides with its interval over the rounds; return whether it keeps the limits."""
    ratio = paired_interval([times[one] / times[other] for times in rounds])
    assert ratio is not None, "--pairs 2 is the fewest"
    held = limits is None or (limits[0] <= ratio.low and ratio.high <= limits[1])
    verdict = f" (limits {limits[0]} to {limits[1]}) {'ok' if held else 'MISSED'}" if limits else ""
    print(
        f"{one} over {other} {ratio.estimate:.4f}, 95 % interval {ratio.low:.4f} to {ratio.high:.4f} over "
        f"{len(rounds)} pairs{verdict}"
    )
    return held


def export(model: str, directory: Path) -> Subject:
    """A network with random weights, exported for Paddle and ONNX Runtime."""
    words = ["export", model, "--weights", "random", "--formats", "paddle,onnx", "-o", str(directory)]
    subprocess.run(
        [sys.executable, "-m", "edgekit", *words], check=True, stdout=subprocess.DEVNULL, timeout=600
    )
    path, manifest = find_artifacts(directory)
    return Subject(directory=path, manifest=manifest)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=10, help="pairs of fresh processes an engine")
    parser.add_argument("--blocks", type=int, default=20, help=f"blocks of {BLOCK} inferences a process")
    arguments = parser.parse_args()
    held = True
    with tempfile.TemporaryDirectory(prefix="edgekit-overhead-") as name:
        subject = export(MODEL, Path(name) / MODEL)
        target = HostTarget()
        inside = statistics.median(timing.sample(bool, 20_000, 0, 10**10, None))
        for engine in ENGINES:
            rounds = [
                lowest(target, subject, engine, arguments.blocks, core=number % 2)
                for number in range(arguments.pairs)
            ]
            latency = statistics.median(times[WORKER] for times in rounds)
            share = inside / latency
            held = held and share < OVERHEAD_LIMIT
            print(
                f"{engine}: {inside:.0f} ns inside a sample of {latency / 1e6:.3f} ms: {share:.4%} "
                f"(limit {OVERHEAD_LIMIT:.1%}) {'ok' if share < OVERHEAD_LIMIT else 'MISSED'}"
            )
            for one, other, limits in RATIOS:
                held = print_ratio(rounds, one, other, limits) and held
    return 0 if held else 9


if __name__ == "__main__":
    sys.exit(main())
