"""Engines through edgekit's worker against what their makers would measure, on the same static model.

1. The openvino worker against `benchmark_app` (one stream, f32, synchronous), and the onnxruntime worker
   against a bare InferenceSession, one thread each, fresh processes by turns in pairs: the 95 % interval
   of the ratio of medians (Student's, over pairs) has to lie inside 0.97 to 1.03.
2. An `.nb` that came from PIR (by way of ONNX) and one that came from ONNX against the directly
   exported one, on Paddle Lite's x86 kernels: the interval's upper end at most 1.05.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from edgekit.convert.manifest import find_artifacts
from edgekit.core.spec import Precision
from edgekit.core.stats import median
from edgekit.judge.intervals import paired_interval
from edgekit.runners.protocol import Run
from edgekit.targets.target import HostTarget, Subject, load_request

MODEL = "PPLCNet_x1_0"
FROM_PIR, FROM_ONNX = "from_pir", "from_onnx"
PARTS = ("openvino", "onnxruntime", "imports")
PAIRS = 12
RATIO_LIMITS = (0.97, 1.03)
IMPORT_LIMIT = 1.05
SECONDS = 2.0
BARE = """\
import json, sys, time
import numpy, onnxruntime
settings = onnxruntime.SessionOptions()
settings.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], settings, providers=["CPUExecutionProvider"])
feed = {session.get_inputs()[0].name:
        numpy.random.RandomState(0).standard_normal((1, 3, 224, 224)).astype("float32")}
times = []
end = time.perf_counter() + 2 * float(sys.argv[2])
while time.perf_counter() < end:
    start = time.perf_counter_ns()
    session.run(None, feed)
    times.append(time.perf_counter_ns() - start)
print(json.dumps(times[len(times) // 2:]))
"""
SAVE_PIR = """\
import sys, paddle
from edgekit.zoo.registry import find_model
from edgekit.zoo.weights import build_with_weights
network = build_with_weights(find_model(sys.argv[1]), "random")[0]
class Classifier(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.network = network
    def forward(self, x):
        return paddle.nn.functional.softmax(self.network(x))
classifier = Classifier()
classifier.eval()
spec = [paddle.static.InputSpec([None, 3, 224, 224], "float32", "x")]
paddle.jit.save(paddle.jit.to_static(classifier, input_spec=spec, full_graph=True), sys.argv[2])
"""


def edgekit(*words: str | Path, cwd: Path) -> None:
    subprocess.run([sys.executable, "-m", "edgekit", *words], cwd=cwd, check=True, stdout=subprocess.DEVNULL)


def prepare(place: Path) -> None:
    """The model exported, and the same weights imported from PIR and from ONNX; what is there is kept."""
    if (place / "models" / FROM_ONNX).exists():
        return
    place.mkdir(parents=True, exist_ok=True)
    edgekit("export", MODEL, "--weights", "random", cwd=place)
    script = place / "save.py"
    script.write_text(SAVE_PIR)
    subprocess.run([sys.executable, script, MODEL, place / "pir" / "inference"], check=True)
    edgekit("import", "pir", "--name", FROM_PIR, cwd=place)
    edgekit("import", Path("models", MODEL, "inference.onnx"), "--name", FROM_ONNX, cwd=place)


def worker_median(target: HostTarget, directory: Path, engine: str, seconds: float) -> float:
    """Median of a fresh worker process, ns."""
    _, manifest = find_artifacts(directory)
    subject = Subject(directory=directory, manifest=manifest)
    artifact = subject.artifact(target.artifact_kind(engine, Precision.FP32))
    with target.session(engine, engine) as session:
        session.load(load_request(target, subject, artifact))
        ran = session.run(Run(warmup_ns=int(seconds * 1e9), min_ns=int(seconds * 1e9)))
    return median(ran.samples_ns)


def benchmark_app_median(model: Path, seconds: float) -> float:
    """Return the median latency that OpenVINO's own tool prints, ns."""
    words = [
        *(Path(sys.executable).with_name("benchmark_app"), "-m", model, "-d", "CPU", "-api", "sync"),
        *("-hint", "none", "-nstreams", "1", "-nthreads", "1", "-infer_precision", "f32", "-pin", "NO"),
        # It would give pictures to the model as bytes: another model.
        *("-ip", "f32"),
        *("-shape", "[1,3,224,224]", "-t", str(max(1, round(seconds * 2)))),
    ]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    found = re.search(r"Median:\s*([\d.]+) ms", done.stdout)
    assert found is not None, done.stdout
    return float(found[1]) * 1e6


def bare_median(model: Path, seconds: float) -> float:
    """A bare InferenceSession, ns."""
    words = [sys.executable, "-c", BARE, model, str(seconds)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return median(json.loads(done.stdout))


def ratio(
    what: str, ours: Callable[[], float], theirs: Callable[[], float], pairs: int, limits: Sequence[float]
) -> bool:
    """Measure in turns, print the ratio, and say whether it holds its limits.

    Both sides of a pair inherit the same core: cores differ by more than what is looked for.
    """
    turns = []
    cores = os.sched_getaffinity(0)
    for turn in range(pairs):
        os.sched_setaffinity(0, {sorted(cores)[turn // 2 % len(cores)]})
        first, second = (ours, theirs) if turn % 2 == 0 else (theirs, ours)
        one, two = first(), second()
        turns.append((one, two) if turn % 2 == 0 else (two, one))
    os.sched_setaffinity(0, cores)
    interval = paired_interval([own / other for own, other in turns])
    assert interval is not None, "two pairs are the fewest"
    holds = limits[0] <= interval.low and interval.high <= limits[1]
    print(
        f"{what}: {interval.estimate:.4f} ({interval.low:.4f} to {interval.high:.4f}), "
        f"limits {limits[0]:g} to {limits[1]:g}: {'held' if holds else 'MISSED'}"
    )
    return holds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--parts", default=",".join(PARTS), help="fewer: %(default)s")
    parser.add_argument("--place", type=Path, help="keep the models here for another run")
    arguments = parser.parse_args()
    parts, pairs, seconds = arguments.parts.split(","), arguments.pairs, arguments.seconds
    target = HostTarget()
    with tempfile.TemporaryDirectory(prefix="edgekit-bench-") as name:
        models = (arguments.place or Path(name)) / "models"
        prepare(models.parent)
        exported, onnx = models / MODEL, models / MODEL / "inference.onnx"

        def ours(engine: str, directory: Path = exported) -> Callable[[], float]:
            return lambda: worker_median(target, directory, engine, seconds)

        held = []
        if "openvino" in parts:
            theirs = partial(benchmark_app_median, onnx, seconds)
            what = "openvino worker over benchmark_app"
            held.append(ratio(what, ours("openvino"), theirs, pairs, RATIO_LIMITS))
        if "onnxruntime" in parts:
            what = "onnxruntime worker over a bare InferenceSession"
            held.append(
                ratio(what, ours("onnxruntime"), partial(bare_median, onnx, seconds), pairs, RATIO_LIMITS)
            )
        for source in (FROM_PIR, FROM_ONNX) if "imports" in parts else ():
            imported, direct = ours("paddlelite", models / source), ours("paddlelite")
            held.append(
                ratio(f".nb {source} over the exported one", imported, direct, pairs, (0.0, IMPORT_LIMIT))
            )
    return 0 if all(held) else 9


if __name__ == "__main__":
    sys.exit(main())
