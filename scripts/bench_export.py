"""`edgekit export` against Paddle's export, paddle2onnx and paddle_lite_opt run by hand, in turns.

All from a cold start, each step a process, without verification. Limit: 0.8 times the sum of the
steps. Then what each further model of one command costs: less than alone by at least the import of Paddle.
Last, many models by two jobs at once against one, as the ratio of wall times.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

LIMIT = 0.8
MODEL = "PPLCNet_x1_0_doc_ori"
SEVERAL = ("PPLCNet_x0_25", "PPLCNet_x0_35", "PPLCNet_x0_5")
MANY = (*SEVERAL, "PPLCNet_x0_75", "PPLCNet_x1_0", "PPLCNet_x1_5", "PPLCNet_x2_0", "PPLCNet_x2_5")
JOBS = 2
BIN = Path(sys.executable).parent
# What a user writes who exports by hand, with the network and weights that edgekit exports.
BY_HAND = """\
import sys
import paddle
from edgekit.zoo.registry import find_model
from edgekit.zoo.weights import build_with_weights

class Classifier(paddle.nn.Layer):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return paddle.nn.functional.softmax(self.network(x), axis=-1)

network, _ = build_with_weights(find_model(sys.argv[1]), "pretrained")
spec = paddle.static.InputSpec([None, 3, 224, 224], "float32", "x")
classifier = Classifier(network)
classifier.eval()
static = paddle.jit.to_static(classifier, input_spec=[spec], full_graph=True)
paddle.jit.save(static, sys.argv[2] + "/inference")
"""


def wall_s(words: list[str], directory: Path) -> float:
    """Seconds that a command takes; it must end well."""
    started = time.perf_counter()
    subprocess.run(
        words,
        check=True,
        cwd=directory,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "FLAGS_enable_pir_api": "0"},
        timeout=600,
    )
    return time.perf_counter() - started


def by_hand(directory: Path, opt: tuple[str, ...]) -> dict[str, float]:
    """Seconds of each step; paddle2onnx in its quicker mode, without Polygraphy."""
    directory.mkdir()
    (directory / "by_hand.py").write_text(BY_HAND)
    model = ["--model_file=inference.pdmodel", "--param_file=inference.pdiparams"]
    steps = {
        "paddle": [sys.executable, "by_hand.py", MODEL, "."],
        "paddle2onnx": [
            *(str(BIN / "paddle2onnx"), "--model_dir", ".", "--model_filename", "inference.pdmodel"),
            *("--params_filename", "inference.pdiparams", "--save_file", "inference.onnx"),
            *("--opset_version", "14", "--optimize_tool", "None"),
        ],
        "opt arm": [*opt, *model, "--valid_targets=arm", "--optimize_out=arm"],
        "opt arm fp16": [*opt, *model, "--valid_targets=arm", "--enable_fp16=true", "--optimize_out=fp16"],
        "opt x86": [*opt, *model, "--valid_targets=x86", "--optimize_out=x86"],
    }
    taken = {name: wall_s(words, directory) for name, words in steps.items()}
    for name in ("inference.pdmodel", "inference.onnx", "arm.nb", "fp16.nb", "x86.nb"):
        assert (directory / name).stat().st_size > 10_000, f"by hand: no {name}"
    return taken


def edgekit(directory: Path, models: tuple[str, ...], weights: str, jobs: int = 1) -> float:
    """Seconds of one `edgekit export` of all formats into an empty directory."""
    directory.mkdir()
    words = [sys.executable, "-m", "edgekit", "export", *models, "--no-verify", "--weights", weights]
    words += ["--jobs", str(jobs)]
    taken = wall_s(words, directory)
    for model in models:
        assert (directory / "models" / model / "manifest.json").is_file()
    return taken


def measure(rounds: int, scratch: Path) -> dict[str, Any]:
    """All figures, medians over rounds in which every variant has its turn."""
    from edgekit.toolchain.opt.install import require_opt

    opt = require_opt(install=True, progress=lambda line: print(line, file=sys.stderr)).argv
    edgekit(scratch / "warm", (MODEL,), "pretrained")  # weights and file caches
    ratios, ours, theirs, alone, together, start, parallel = [], [], [], [], [], [], []
    for index in range(rounds):
        steps = by_hand(scratch / f"hand-{index}", opt)
        own = edgekit(scratch / f"edgekit-{index}", (MODEL,), "pretrained")
        ours.append(own)
        theirs.append(steps)
        ratios.append(own / sum(steps.values()))
        alone.append([edgekit(scratch / f"{model}-{index}", (model,), "random") for model in SEVERAL])
        together.append(edgekit(scratch / f"several-{index}", SEVERAL, "random"))
        one, several = (edgekit(scratch / f"{n}-jobs-{index}", MANY, "random", n) for n in (1, JOBS))
        parallel.append(several / one)
        start.append(wall_s([sys.executable, "-c", "import os, paddle; os._exit(0)"], scratch))
    median = statistics.median
    further = median(
        (whole - singles[0]) / (len(SEVERAL) - 1) for whole, singles in zip(together, alone, strict=True)
    )
    single = median(sum(singles[1:]) / (len(SEVERAL) - 1) for singles in alone)
    return {
        "rounds": rounds,
        "edgekit_s": median(ours),
        "by_hand_s": median(sum(steps.values()) for steps in theirs),
        "steps_s": {name: median(steps[name] for steps in theirs) for name in theirs[0]},
        "ratio": median(ratios),
        "ratios": ratios,
        "limit": LIMIT,
        "further_model_s": further,
        "model_alone_s": single,
        "import_paddle_s": median(start),
        "parallel_ratio": median(parallel),
        "reached": median(ratios) <= LIMIT and further <= single - median(start),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        figures = measure(arguments.rounds, Path(directory))
    if arguments.json:
        print(json.dumps(figures))
    else:
        steps = ", ".join(f"{name} {taken:.2f}" for name, taken in figures["steps_s"].items())
        print(
            f"edgekit export {figures['edgekit_s']:.2f} s; by hand {figures['by_hand_s']:.2f} s ({steps}); "
            f"ratio {figures['ratio']:.2f} (limit {LIMIT}, median of {arguments.rounds} rounds)\n"
            f"each further model {figures['further_model_s']:.2f} s, alone {figures['model_alone_s']:.2f} s, "
            f"of which importing Paddle {figures['import_paddle_s']:.2f} s\n"
            f"{len(MANY)} models by {JOBS} jobs take {figures['parallel_ratio']:.2f} of the time of one job"
        )
    sys.exit(0 if figures["reached"] else 9)


if __name__ == "__main__":
    main()
