"""The core of the native runner, around an engine that does nothing; the contract tests go beyond that."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.core.artifact import TensorSpec
from edgekit.runners.protocol import EXIT_CODES, PROTOCOL_VERSION, ErrorCode, Loaded, Ran

SHAPE = [1, 3, 8, 8]
INPUT = {"name": "x", "dtype": "float32", "shape": SHAPE}
# An option of the engine: another input beside the first, of any type.
TWO = {"inputs": "2"}
ALLOWED = sorted(os.sched_getaffinity(0))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.write_bytes(b"any content will do")
    return path


def load(model: Path, **changes: Any) -> str:
    request = {"op": "load", "protocol": PROTOCOL_VERSION, "model": str(model), "threads": 1}
    return json.dumps({**request, "inputs": [INPUT], **changes})


def check(model: Path, sha256: str) -> str:
    request = {"op": "check", "protocol": PROTOCOL_VERSION, "model": str(model), "sha256": sha256}
    return json.dumps(request)


def run_request(**changes: Any) -> str:
    request = {"op": "run", "warmup": 1, "warmup_ns": 0, "repeats": 1, "min_ns": 0, "max_ns": 10**10}
    return json.dumps({**request, **changes})


def converse(
    runner: Path, lines: Sequence[str | bytes], env: dict[str, str] | None = None
) -> tuple[list[Any], int]:
    text = b"\n".join(line.encode() if isinstance(line, str) else line for line in lines)
    done = subprocess.run(
        [runner], input=text + b"\n", capture_output=True, timeout=60, env={**os.environ, **(env or {})},
        check=False,
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()], done.returncode


def codes(answers: list[Any]) -> list[str | None]:
    return [None if answer["ok"] else answer["error"]["code"] for answer in answers]


def test_version_is_one_json_line(idle_runner: Path) -> None:
    done = subprocess.run([idle_runner, "--version"], capture_output=True, text=True, timeout=10, check=True)
    said = json.loads(done.stdout)
    assert said["protocol"] == PROTOCOL_VERSION
    assert said["engine"] == "idle"
    assert {"engine_version", "runner_version", "build_id"} < set(said)


def test_other_arguments_are_a_usage_error(idle_runner: Path) -> None:
    done = subprocess.run([idle_runner, "--help"], capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "--version" in done.stderr


def test_the_hash_is_sha256(idle_runner: Path, tmp_path: Path) -> None:
    """Lengths around the block and buffer boundaries, against Python's own."""
    import hashlib

    model = tmp_path / "model"
    for length in (1, 55, 56, 63, 64, 65, 119, 120, 65535, 65536, 65537, 200_000):
        model.write_bytes(random.Random(length).randbytes(length))
        digest = hashlib.sha256(model.read_bytes()).hexdigest()
        answers, _ = converse(idle_runner, [check(model, digest)])
        assert codes(answers) == [None], length
        wrong = digest[:-1] + ("0" if digest[-1] != "0" else "1")
        answers, exit_code = converse(idle_runner, [check(model, wrong)])
        assert codes(answers) == ["hash_mismatch"]
        assert digest in answers[0]["error"]["message"]
        assert exit_code == EXIT_CODES[ErrorCode.HASH_MISMATCH]


def test_a_refused_load_can_be_asked_again(idle_runner: Path, model: Path) -> None:
    answers, exit_code = converse(
        idle_runner,
        [load(model, threads=2, cores=[ALLOWED[0]]), load(Path("/none")), load(model), run_request()],
    )
    assert codes(answers) == ["cores", "model_missing", None, None]
    # The cores of the refused request are forgotten.
    assert answers[2]["cores"] == ALLOWED
    assert exit_code == EXIT_CODES[ErrorCode.CORES]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"cores": [100_000]}, "cores"),
        ({"cores": [-1]}, "cores"),
        ({"cores": []}, "cores"),
        ({"cores": [ALLOWED[0], ALLOWED[0]], "threads": 2}, "cores"),
        ({"cores": "0-3"}, "request"),
        ({"cores": [0.5]}, "request"),
        ({"power_mode": "MEDIUM"}, "request"),
        ({"power_mode": "RAND_HIGH"}, "unsupported"),
        ({"power_mode": "HIGH", "cores": [ALLOWED[0]]}, "request"),
        ({"threads": 10_000}, "threads"),
        ({"threads": 1.5}, "request"),
        ({"threads": 2**40}, "request"),
        ({"inputs": [{**INPUT, "shape": [1] * 9}]}, "shape"),
        ({"inputs": [{**INPUT, "shape": [2**40, 2**40]}]}, "memory"),
        ({"inputs": [{**INPUT, "shape": [1, 3, 10**6, 10**6]}]}, "memory"),
        ({"inputs": [{**INPUT, "shape": [2**53] * 8}]}, "memory"),
        ({"inputs": [INPUT, {**INPUT, "name": "y", "shape": [2**40] * 2}], "options": TWO}, "memory"),
        ({"inputs": [INPUT, {**INPUT, "name": "z"}], "options": TWO}, "unsupported"),
        ({"inputs": [INPUT], "options": TWO}, "unsupported"),
        ({"inputs": [{**INPUT, "name": "y"}]}, "unsupported"),
        ({"inputs": [{**INPUT, "name": "x" * 256}]}, "unsupported"),
        ({"inputs": [{**INPUT, "dtype": "int64"}]}, "unsupported"),
        ({"inputs": [{**INPUT, "dtype": "string"}]}, "unsupported"),
        ({"inputs": [INPUT] * 65}, "unsupported"),
        ({"inputs": {"x": SHAPE}}, "request"),
        ({"params": "/x"}, "unsupported"),
        ({"options": {"on_run": 1}}, "request"),
        ({"options": []}, "request"),
        ({"protocol": PROTOCOL_VERSION + 1}, "protocol"),
        ({"protocol": "1"}, "request"),
    ],
)
def test_load_refusals(idle_runner: Path, model: Path, changes: dict[str, Any], code: str) -> None:
    answers, exit_code = converse(idle_runner, [load(model, **changes), '{"op": "environment"}'])
    assert codes(answers) == [code, None]
    assert exit_code == EXIT_CODES[ErrorCode(code)]


def test_a_directory_and_an_unreadable_model_are_missing(idle_runner: Path, tmp_path: Path) -> None:
    answers, _ = converse(idle_runner, [check(tmp_path, "0" * 64), load(tmp_path / "none")])
    assert codes(answers) == ["model_missing", "model_missing"]


def test_power_modes_bind_to_what_the_machine_has(idle_runner: Path, model: Path) -> None:
    """Without cpufreq all cores are one cluster: HIGH, LOW and FULL each take as many as threads."""
    for mode in ("HIGH", "LOW", "FULL"):
        answers, _ = converse(idle_runner, [load(model, power_mode=mode)])
        (answer,) = answers
        assert answer["ok"]
        assert len(answer["cores"]) == 1 or "binding" in answer["options"]
    answers, _ = converse(idle_runner, [load(model, power_mode="NO_BIND")])
    assert answers[0]["cores"] == ALLOWED


def test_answers_fit_the_protocols_records(idle_runner: Path, model: Path) -> None:
    import msgspec

    answers, _ = converse(idle_runner, [load(model), run_request(repeats=3)])
    loaded, ran = msgspec.convert(answers[0], Loaded), msgspec.convert(answers[1], Ran)
    assert loaded.inputs == (TensorSpec(name="x", dtype="float32", shape=(None, 3, 8, 8)),)
    assert len(ran.samples_ns) == 3
    assert ran.warmup_runs == 1
    assert ran.first_run_ns is not None
    assert set(ran.cores_seen) <= set(ALLOWED)
    assert ran.peak_memory_bytes is not None
    assert 10**5 < ran.peak_memory_bytes < 10**8


def test_a_sample_holds_less_than_a_microsecond_of_the_runner(idle_runner: Path, model: Path) -> None:
    answers, _ = converse(idle_runner, [load(model), run_request(repeats=20_000)])
    samples = answers[1]["samples_ns"]
    assert len(samples) == 20_000
    assert statistics.median(samples) < 1000


def test_min_and_max_time(idle_runner: Path, model: Path) -> None:
    answers, _ = converse(
        idle_runner,
        [load(model), run_request(min_ns=2_000_000), run_request(repeats=10**9, max_ns=2_000_000)],
    )
    for answer in answers[1:]:
        assert sum(answer["samples_ns"]) >= 2_000_000
        assert sum(answer["samples_ns"][:-1]) < 2_000_000


def test_marks_bracket_each_timed_inference(idle_runner: Path, model: Path) -> None:
    if subprocess.run(["which", "strace"], capture_output=True, check=False).returncode:
        pytest.skip("needs strace")
    request = "\n".join([load(model), run_request(warmup=3, repeats=2, mark=True), ""])
    done = subprocess.run(
        ["strace", "-f", idle_runner], input=request, capture_output=True, text=True, timeout=60, check=False
    )
    marks = [line for line in done.stderr.splitlines() if "0xe5e5" in line]
    assert [int(line.split("(")[1].split(",")[0].rstrip(")"), 0) for line in marks] == [0, 1, 2, 3]


def test_files_come_and_go_unchanged(idle_runner: Path, model: Path, tmp_path: Path) -> None:
    """The engine's outputs are its inputs, so `infer` gives back the bytes of its file."""
    source, target = tmp_path / "in", tmp_path / "out"
    content = np.linspace(-1, 1, 2 * 3 * 8 * 8, dtype="<f4").tobytes() + b"\x01\x00\xff"
    source.write_bytes(content)
    second = {"name": "y", "dtype": "uint8", "shape": [1]}
    request = {"op": "infer", "input": str(source), "shapes": [[2, 3, 8, 8], [3]], "output": str(target)}
    requests = [
        request,
        {**request, "shapes": [[2, 3, 8, 8], [2]]},
        {**request, "shapes": [[2, 3, 8, 8], [4]]},
        {**request, "shapes": [[2, 3, 8, 8]]},
        {**request, "shapes": [[2, 3, 8, 8], [3], [1]]},
        {**request, "shapes": [[2, 3, 8, 9], [3]]},
        {**request, "skip": 0},
        {**request, "at_once": 1},
    ]
    lines = [load(model, inputs=[INPUT, second], options=TWO), *map(json.dumps, requests)]
    answers, _ = converse(idle_runner, lines)
    refused = ["io", "io", "request", "request", "shape", "unsupported", "unsupported"]
    assert codes(answers) == [None, None, *refused]
    assert answers[1]["outputs"] == [{**INPUT, "shape": [2, 3, 8, 8]}, {**second, "shape": [3]}]
    assert target.read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "model", "out"]


def test_failing_inferences_are_answered(idle_runner: Path, model: Path) -> None:
    answers, exit_code = converse(
        idle_runner, [load(model, options={"fail_in": "3"}), run_request(repeats=9), run_request()]
    )
    assert codes(answers) == [None, "runtime", None]
    assert exit_code == EXIT_CODES[ErrorCode.RUNTIME]


def test_an_abort_of_the_engine_is_answered(idle_runner: Path, model: Path) -> None:
    answers, exit_code = converse(
        idle_runner, [load(model, options={"on_run": "abort"}), run_request(), run_request()]
    )
    assert codes(answers) == [None, "runtime"]
    assert answers[1]["op"] == "run"
    assert exit_code == EXIT_CODES[ErrorCode.RUNTIME]


def test_a_crash_of_the_engine_is_a_signal(idle_runner: Path, model: Path) -> None:
    answers, exit_code = converse(idle_runner, [load(model, options={"on_run": "crash"}), run_request()])
    assert codes(answers) == [None]
    assert exit_code < 0


def test_environment_reads_what_the_kernel_shows(idle_runner: Path) -> None:
    answers, exit_code = converse(idle_runner, ['{"op": "environment"}'])
    assert exit_code == 0
    here = sorted(int(path.name[3:]) for path in Path("/sys/devices/system/cpu").glob("cpu[0-9]*"))
    assert [core["core"] for core in answers[0]["cores"]] == here
    assert 0 <= answers[0]["load_1min"] < 10_000


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe\x00", b"{", b"[" * 100_000, b'{"op":"load"', b'{"op":"\\u0000"}', b'{"op":"\\ud800"}',
        b'{"op":"load","op":"dance"}', b'"load"', b"1e999", b"0x10", b"nan", b"01", b'{"op":"run",}',
        b'{"a":{"a":' * 20, b'{"op":"' + b"x" * 2_000_000 + b'"}', b'{"op": "load"} {"op": "load"}',
        b'{"op":"load","model":"a\tb"}', b"-", b"truefalse", b'{"op":"\xc3\x28\xf0\x90"}',
    ],
)  # fmt: skip
def test_bad_lines_are_answered_and_do_no_harm(checked_runner: Path, line: bytes) -> None:
    answers, exit_code = converse(checked_runner, [line, '{"op": "environment"}'])
    assert codes(answers) == ["request", None]
    assert exit_code == EXIT_CODES[ErrorCode.REQUEST]


@pytest.mark.parametrize("ascii_only", [True, False])
def test_unicode_paths_come_through(checked_runner: Path, tmp_path: Path, ascii_only: bool) -> None:
    """As \\u escapes with surrogate pairs, and as plain UTF-8; both ways and back in a message."""
    model = tmp_path / 'mödel "\\ 模型 🙂'
    model.write_bytes(b"x")
    lines = [
        json.dumps(json.loads(load(path)), ensure_ascii=ascii_only) for path in (tmp_path / "é🙂", model)
    ]
    answers, _ = converse(checked_runner, lines)
    assert codes(answers) == ["model_missing", None]
    assert "é🙂" in answers[0]["error"]["message"]


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
_FIELDS = [
    "protocol",
    "model",
    "sha256",
    "threads",
    "cores",
    "power_mode",
    "inputs",
    "shapes",
    "options",
    "params",
]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    requests=st.lists(
        st.builds(
            lambda op, fields: {"op": op, **fields},
            st.sampled_from(["check", "load", "run", "infer", "environment"]),
            st.dictionaries(st.sampled_from(_FIELDS), _VALUES, max_size=5),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_no_request_breaks_the_runner(checked_runner: Path, requests: list[dict[str, Any]]) -> None:
    """Every line is answered by a line that is JSON, whatever it holds; memory errors would end it."""
    answers, exit_code = converse(checked_runner, [json.dumps(request) for request in requests])
    assert len(answers) == len(requests)
    first = next((answer["error"]["code"] for answer in answers if not answer["ok"]), None)
    assert exit_code == (0 if first is None else EXIT_CODES[ErrorCode(first)])
