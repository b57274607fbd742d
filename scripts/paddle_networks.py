"""Networks of `paddle.vision.models`, as legacy and as PIR programs, through `edgekit import`.

    scripts/paddle_networks.py                   a Markdown table, a row for each network and format
    scripts/paddle_networks.py --only vgg        networks whose name has the word

Weights are seeded and scaled after He et al. 2015. A program is saved as its user does: by `paddle.jit.save`
with `FLAGS_enable_pir_api=0` for the legacy format and without for PIR. Depths and widths that only repeat
others are left out.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

# Constructor: height and width of its pictures. Paddle's VGG and AlexNet have 4096 wide heads for one size.
NETWORKS = {
    "mobilenet_v2": 64, "googlenet": 224, "LeNet": 28, "inception_v3": 160, "densenet121": 64,
    "mobilenet_v1": 64, "mobilenet_v3_small": 64, "resnet50": 64, "shufflenet_v2_swish": 64, "vgg11": 224,
    "alexnet": 224, "squeezenet1_1": 64, "mobilenet_v3_large": 64, "resnet18": 64, "resnext50_32x4d": 64,
    "shufflenet_v2_x0_25": 64, "squeezenet1_0": 64, "wide_resnet50_2": 64, "resnet34": 64,
    "shufflenet_v2_x1_0": 64,
}  # fmt: skip
CLASSES = 100
TIMEOUT_S = 600.0
FORMATS = {"legacy": "0", "pir": "1"}
RUNGS = ("source", "paddle", "onnx", "nb-x86")

SAVE = """\
import math, sys, numpy, paddle
name, side, classes, target = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
rng = numpy.random.default_rng(0)
network = getattr(paddle.vision.models, name)(num_classes=classes)
for key, tensor in network.state_dict().items():
    shape = tuple(tensor.shape)
    if len(shape) > 1:
        inputs = shape[0] if len(shape) == 2 else math.prod(shape[1:])
        values = rng.standard_normal(shape) * math.sqrt(2 / inputs)
    elif key.endswith(("weight", "_variance")):
        values = rng.uniform(0.8, 1.2, shape)
    else:
        values = rng.standard_normal(shape) * 0.1
    tensor.set_value(values.astype("float32"))
network.eval()
spec = paddle.static.InputSpec([None, 1 if name == "LeNet" else 3, side, side], "float32", "x")
paddle.jit.save(paddle.jit.to_static(network, input_spec=[spec], full_graph=True), target)
"""


class Outcome(msgspec.Struct, frozen=True):
    """How an import ended: the exit code, what each rung showed, the error line where there is one."""

    exit_code: int
    rungs: dict[str, str]
    error: str


def save(name: str, kind: str, directory: Path) -> Path:
    """A network of Paddle's as its user has it on disk."""
    script = directory / "save.py"  # Paddle reads the source of what it translates
    script.write_text(SAVE)
    target = directory / name / "inference"
    environment = {**os.environ, "FLAGS_enable_pir_api": FORMATS[kind], "GLOG_minloglevel": "3"}
    words = [sys.executable, script, name, str(NETWORKS[name]), str(CLASSES), target]
    subprocess.run(words, check=True, capture_output=True, timeout=TIMEOUT_S, env=environment)
    return target.parent


def import_it(model: Path, directory: Path) -> Outcome:
    """`edgekit import`, and what it said."""
    words = [
        sys.executable, "-m", "edgekit", "import", str(model), "--name", "theirs",
        "-o", str(directory / "made"), "--nb-targets", "arm,x86", "--force",
    ]  # fmt: skip
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, cwd=directory,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "300"},
    )  # fmt: skip
    lines = done.stderr.splitlines()
    rungs = {
        words[1]: " ".join(words) for line in lines if len(words := line.split()) > 1 and words[1] in RUNGS
    }
    error = next((line for line in lines if line.startswith("error:")), "")
    return Outcome(done.returncode, rungs, error)


def main() -> None:
    """Print the table; exit 1 where an import failed in a way that is no refusal by name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="", help="networks whose name has this in it")
    parser.add_argument("--formats", default=",".join(FORMATS))
    arguments = parser.parse_args()
    for name in (each for each in NETWORKS if arguments.only in each):
        for kind in arguments.formats.split(","):
            directory = Path(tempfile.mkdtemp(prefix="networks-"))
            try:
                outcome = import_it(save(name, kind, directory), directory)
                told = outcome.error or "; ".join(outcome.rungs.values())
                print(f"{name} {kind} exit {outcome.exit_code}: {told}", flush=True)
            finally:
                shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
