"""Cost of measuring: inside a sample, and the worker's median against a bare loop.

1. The clock readings and the call around nothing, as a share of the smallest network's latency:
   limit 0.1 %.
2. The lower fiftieth of the worker over that of a bare loop around the same engine call in a process of its
   own. Both are alive and take turns in short blocks on one core, over ten pairs of fresh processes: the 95 %
   interval of the ratio (Student's, over pairs) has to lie inside 0.99 to 1.01.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgekit.convert.manifest import find_artifacts
from edgekit.core.spec import Precision
from edgekit.engines.worker import timing
from edgekit.judge.intervals import paired_interval
from edgekit.runners.protocol import Run
from edgekit.runners.session import RunnerSession
from edgekit.targets.target import HostTarget, Subject, load_request

MODEL = "PPLCNet_x0_25"
OVERHEAD_LIMIT = 0.001
RATIO_LIMITS = (0.99, 1.01)
ENGINES = ("onnxruntime", "paddle")
WARMUP = 200
BLOCK = 50

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


@contextlib.contextmanager
def worker(target: HostTarget, subject: Subject, engine: str, core: int) -> Iterator[RunnerSession]:
    """The worker with the same artifact, loaded for one thread on one core."""
    artifact = subject.artifact(target.artifact_kind(engine, Precision.FP32))
    with target.session(engine, f"{engine} on {MODEL}") as session:
        session.load(load_request(target, subject, artifact, cores=(core,)))
        yield session


def sample_worker(session: RunnerSession, inferences: int) -> Sequence[int]:
    return session.run(Run(warmup=0, warmup_ns=0, repeats=inferences, min_ns=0)).samples_ns


def pair(target: HostTarget, subject: Subject, engine: str, blocks: int, *, core: int) -> tuple[float, float]:
    """Nanoseconds of an inference of one pair of fresh processes, which take turns on one core.

    Returns:
        The lower fiftieths of worker and bare loop: other work disturbs them less than medians.
    """
    bare = BareLoop(BARE[engine], subject.directory, core=core)
    with contextlib.closing(bare), worker(target, subject, engine, core) as session:
        bare.run(WARMUP)
        sample_worker(session, WARMUP)
        ours: list[int] = []
        theirs: list[int] = []
        for block in range(blocks):
            if (block + core) % 2 == 0:
                theirs += bare.run(BLOCK)
                ours += sample_worker(session, BLOCK)
            else:
                ours += sample_worker(session, BLOCK)
                theirs += bare.run(BLOCK)
    return statistics.quantiles(ours, n=50)[0], statistics.quantiles(theirs, n=50)[0]


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
            pairs = [
                pair(target, subject, engine, arguments.blocks, core=number % 2)
                for number in range(arguments.pairs)
            ]
            latency = statistics.median(ours for ours, _ in pairs)
            share = inside / latency
            ratio = paired_interval([ours / theirs for ours, theirs in pairs])
            assert ratio is not None, "--pairs 2 is the fewest"
            inside_limits = RATIO_LIMITS[0] <= ratio.low and ratio.high <= RATIO_LIMITS[1]
            held = held and share < OVERHEAD_LIMIT and inside_limits
            print(
                f"{engine}: {inside:.0f} ns inside a sample of {latency / 1e6:.3f} ms: {share:.4%} "
                f"(limit {OVERHEAD_LIMIT:.1%}) {'ok' if share < OVERHEAD_LIMIT else 'MISSED'}"
            )
            print(
                f"{engine}: worker over bare loop {ratio.estimate:.4f}, 95 % interval {ratio.low:.4f} to "
                f"{ratio.high:.4f} over {arguments.pairs} pairs "
                f"(limits {RATIO_LIMITS[0]} to {RATIO_LIMITS[1]}) {'ok' if inside_limits else 'MISSED'}"
            )
    return 0 if held else 9


if __name__ == "__main__":
    sys.exit(main())
