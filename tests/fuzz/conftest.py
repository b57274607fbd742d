"""Good files to start from, and the interpreter that reads them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from filelock import FileLock

from tests.convert.onnx_models import classifier
from tests.fuzz.damage import CONFIG, SHORT, YML

SAVE = """
import sys, paddle
net = paddle.nn.Sequential(
    paddle.nn.Conv2D(3, 8, 3, 2, 1), paddle.nn.Hardswish(), paddle.nn.AdaptiveAvgPool2D(1),
    paddle.nn.Flatten(), paddle.nn.Linear(8, 5))
net.eval()
spec = [paddle.static.InputSpec([None, 3, 32, 32], "float32", "x")]
paddle.jit.save(paddle.jit.to_static(net, input_spec=spec, full_graph=True), sys.argv[1])
from edgekit.zoo.registry import find_model
from edgekit.zoo.weights import build_with_weights
paddle.save(build_with_weights(find_model("PPLCNet_x0_25"), "random")[0].state_dict(), sys.argv[2])
"""


def build_seeds(directory: Path) -> Path:
    """A directory with one good file of every kind below `directory`."""
    seeds = directory / "seeds"
    seeds.mkdir()
    script = directory / "save.py"  # Paddle reads the source of what it translates
    script.write_text(SAVE)
    words = [sys.executable, script, seeds / "pir" / "inference", seeds / "net.pdparams"]
    subprocess.run(words, check=True, capture_output=True, timeout=120)
    classifier(seeds / "net.onnx", opset=13)
    (seeds / "labels.txt").write_text("ant\nbee\ncow\ndog\neel\n")
    (seeds / "net.yml").write_text(YML)
    (seeds / "bench.toml").write_text(CONFIG)
    repository = Path(__file__).parents[2]
    shutil.copy(repository / "models" / "samples" / "page_0.png", seeds / "picture.png")
    _edgekit(seeds, "import", "pir", "--name", "net", "--labels", "labels.txt", "--no-verify")
    card = repository / "models" / "PPLCNet_x0_25.toml"
    (seeds / "models" / "card.toml").write_text(card.read_text().replace("PPLCNet_x0_25", "card"))
    _edgekit(seeds, "bench", "net", "--host", "--engine", "onnxruntime,paddle", "-o", "result.json", *SHORT)
    shutil.copy(seeds / "result.json", seeds / "good.json")
    (seeds / "legacy").mkdir()
    for name in ("inference.pdmodel", "inference.pdiparams"):
        shutil.copy(seeds / "models" / "net" / name, seeds / "legacy" / name)
    with tarfile.open(seeds / "net_infer.tar", "w") as tar:
        tar.add(seeds / "legacy", "net_infer")
    return seeds


def _edgekit(place: Path, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgekit", *words],
        cwd=place, check=False, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def seeds(shared_directory: Path) -> Path:
    """Good files, made once a run."""
    directory = shared_directory / "fuzz"
    with FileLock(shared_directory / "fuzz.lock"):
        if not (directory / "seeds").exists():
            directory.mkdir(exist_ok=True)
            build_seeds(directory)
    return directory / "seeds"
