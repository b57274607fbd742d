"""Good files to start from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from tests.fuzz.damage import make_seeds

SAVE = """
import sys, paddle
from pathlib import Path
net = paddle.nn.Sequential(
    paddle.nn.Conv2D(3, 8, 3, 2, 1), paddle.nn.Hardswish(), paddle.nn.AdaptiveAvgPool2D(1),
    paddle.nn.Flatten(), paddle.nn.Linear(8, 5))
net.eval()
spec = [paddle.static.InputSpec([None, 3, 32, 32], "float32", "x")]
paddle.jit.save(paddle.jit.to_static(net, input_spec=spec, full_graph=True), sys.argv[1])
paddle.save(net.state_dict(), sys.argv[2])
"""


def build_seeds(directory: Path) -> Path:
    """A directory with one good file of every kind below `directory`."""
    script = directory / "save.py"
    script.write_text(SAVE)
    words = [sys.executable, script, directory / "pir" / "inference", directory / "net.pdparams"]
    subprocess.run(words, check=True, capture_output=True, timeout=120)
    edgekit = [sys.executable, "-m", "edgekit", "import", directory / "pir", "--name", "net", "--no-verify"]
    done = subprocess.run(edgekit, cwd=directory, check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    make_seeds(
        directory / "seeds",
        directory / "models" / "net",
        (directory / "net.pdparams").read_bytes(),
        directory / "pir",
    )
    return directory / "seeds"


@pytest.fixture(scope="session")
def seeds(shared_directory: Path) -> Path:
    """Good files, made once a run."""
    directory = shared_directory / "fuzz"
    with FileLock(shared_directory / "fuzz.lock"):
        if not (directory / "seeds").exists():
            directory.mkdir(exist_ok=True)
            build_seeds(directory)
    return directory / "seeds"
