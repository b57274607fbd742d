"""The worker's own promises: what it imports, which Python it runs on, where foreign output goes."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from edgekit.core import feeds
from edgekit.engines.registry import WORKER, engines
from edgekit.engines.worker import fields, loop, noise, process, refusal, timing
from edgekit.runners.launch import host_launcher
from edgekit.runners.protocol import DTYPES, EXIT_CODES, MARK_SYSCALL, PROTOCOL_VERSION
from tests.conftest import require_paddle

SOURCES = sorted({*WORKER.glob("*.py"), *(Path(each.file) for each in engines().values())})
INPUTS = [{"name": "x", "dtype": "float32", "shape": [1, 3, 224, 224]}]
ALLOWED = {"_mnncengine", "ncnn", "numpy", "onnxruntime", "openvino", "paddle", "paddlelite", "tensorrt"}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_sources_are_python_3_7_and_import_nothing_else_of_edgekit(source: Path) -> None:
    tree = ast.parse(source.read_text(), feature_version=(3, 7))
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert node.module != "__future__" or "annotations" not in [alias.name for alias in node.names]
            names = [node.module or ""]
        for name in names:
            top = name.partition(".")[0]
            own = name.startswith("edgekit.engines") and not name.endswith(("registry", "spec"))
            assert own or top in sys.stdlib_module_names or top in ALLOWED, f"{source.name} imports {name}"


def test_the_two_sides_agree() -> None:
    assert {code.value: number for code, number in EXIT_CODES.items()} == refusal.EXIT_CODES
    assert loop.PROTOCOL_VERSION == PROTOCOL_VERSION
    assert timing.MARK_SYSCALL == MARK_SYSCALL
    assert fields.DTYPES == DTYPES


def test_noise_is_chosen_as_the_feeds_are() -> None:
    for shape in ((), (5,), (2, 3, 8, 9)):
        values = np.random.default_rng(0).standard_normal(shape)
        for dtype in DTYPES:
            ours, theirs = noise.as_input(values, dtype), feeds.as_input(np.asarray(values), dtype)
            assert isinstance(ours, np.ndarray) and isinstance(theirs, np.ndarray)
            assert ours.dtype == theirs.dtype == dtype
            np.testing.assert_array_equal(ours, theirs)
    given = [
        {"name": "x", "dtype": "uint8", "shape": [2, 3, 8, 9]},
        {"name": "k", "dtype": "int64", "shape": []},
    ]
    picture, scalar = noise.make_noise(given, 1)
    assert len(np.unique(picture)) > 100
    assert scalar.shape == () and scalar in (0, 1)


@pytest.mark.parametrize("threads", ["1", '"none"'])
def test_preparing_is_not_answered(threads: str, x0_25: Path) -> None:
    """Whether it succeeds or not: `load` tells that."""
    load = {
        "op": "load",
        "protocol": PROTOCOL_VERSION,
        "model": str(x0_25 / "inference.onnx"),
        "inputs": INPUTS,
    }
    done = subprocess.run(
        host_launcher("onnxruntime").argv,
        input=f'{{"op": "prepare", "threads": {threads}}}\n{json.dumps(load)}\n',
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(answer["op"], answer["ok"]) for answer in answers] == [("load", True)]


def test_what_others_print_does_not_reach_the_answers(tmp_path: Path, x0_25: Path) -> None:
    """An engine that prints, from Python and below it, when its file is imported and when it is prepared."""
    noisy = tmp_path / "noisy.py"
    noisy.write_text(
        "import os\n"
        "from edgekit.engines.onnxruntime import RECORD, OnnxRuntime\n"
        "print('imported', flush=True)\n"
        "class Noisy(OnnxRuntime):\n"
        "    def prepare(self):\n"
        "        os.write(1, b'native noise\\n'); print('python noise', flush=True)\n"
        "        return super().prepare()\n"
        "ENGINE = Noisy\n"
    )
    request = {
        "op": "load", "protocol": PROTOCOL_VERSION, "model": str(x0_25 / "inference.onnx"),
        "inputs": INPUTS,
    }  # fmt: skip
    done = subprocess.run(
        [*host_launcher("onnxruntime").argv[:-1], noisy],
        input=json.dumps(request) + "\n",
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 1
    assert json.loads(lines[0])["ok"]
    assert {"imported", "native noise", "python noise"} <= set(done.stderr.splitlines())


def test_a_foreign_thread_setting_does_not_decide(x0_25: Path) -> None:
    require_paddle()
    request = {
        "op": "load", "protocol": PROTOCOL_VERSION, "model": str(x0_25 / "inference.pdmodel"),
        "params": str(x0_25 / "inference.pdiparams"), "inputs": INPUTS, "threads": 1,
    }  # fmt: skip
    run = {"op": "run", "warmup": 1, "warmup_ns": 0, "repeats": 100, "min_ns": 200_000_000}
    done = subprocess.run(
        host_launcher("paddle").argv,
        input=json.dumps(request) + "\n" + json.dumps(run) + "\n",
        env={"OMP_NUM_THREADS": "2", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    loaded, ran = map(json.loads, done.stdout.splitlines())
    assert loaded["effective_threads"] == 1
    assert ran["active_threads"] == 1


def test_new_threads_are_counted_while_an_old_one_ends() -> None:
    ends = [threading.Event(), threading.Event()]
    old, new = (threading.Thread(target=end.wait, args=(60,)) for end in ends)
    old.start()
    before = process.tasks()
    new.start()
    ends[0].set()
    old.join()
    found = process.tasks() - before
    ends[1].set()
    new.join()
    assert found == {str(new.native_id)}


def test_a_sample_holds_the_call_and_next_to_nothing_else() -> None:
    samples = timing.sample(lambda: None, 2000, 0, 10**9, None)
    assert sorted(samples)[1000] < 5000
    marks: list[int] = []
    timing.sample(lambda: None, 3, 0, 10**9, marks.append)
    assert marks == [0, 1, 2, 3, 4, 5]


def test_sampling_ends_by_the_bound_that_was_asked() -> None:
    def slow() -> None:
        import time

        time.sleep(0.002)

    assert len(timing.sample(slow, 3, 0, 10**9, None)) == 3
    # The last inference reaches the bound, and the one before it does not, however busy the machine is.
    for bounds in ((1, 20_000_000, 10**9), (1000, 10**9, 20_000_000)):
        samples = timing.sample(slow, *bounds, None)
        assert sum(samples) >= 20_000_000 > sum(samples[:-1])
