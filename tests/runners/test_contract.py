"""Contract of every runner, whatever it is written in (edgekit.runners.protocol is the text)."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit._process import LineChild
from edgekit.core.artifact import ArtifactKind
from edgekit.errors import ToolError
from edgekit.runners.launch import host_launcher
from edgekit.runners.protocol import EXIT_CODES, PROTOCOL_VERSION, ErrorCode
from edgekit.targets.inputs import seeded_inputs
from tests.convert import onnx_models
from tests.runners.cases import RUNNERS, RunnerCase

SHAPE = [2, 3, 224, 224]


def given(shape: Sequence[int]) -> list[dict[str, Any]]:
    """The inputs of a request that loads the classifier."""
    return [{"name": "x", "dtype": "float32", "shape": list(shape)}]


ANSWER_TIMEOUT_S = 120.0


@pytest.fixture(scope="session", params=RUNNERS, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> RunnerCase:
    runner: RunnerCase = request.param
    if runner.kind is ArtifactKind.NB_X86:
        request.getfixturevalue("x86_nb")
    try:
        host_launcher(runner.engine, install=False)
    except ToolError as error:
        pytest.skip(f"{error.message}: {error.hint}")
    return runner


class Conversation:
    """Raw lines to and from a runner."""

    def __init__(self, case: RunnerCase, directory: Path) -> None:
        launcher = case.launcher()
        self.case = case
        self.child = LineChild(launcher.argv, stderr_path=directory / "stderr", env=launcher.env)

    def send(self, line: str) -> dict[str, Any]:
        self.child.write_line(line)
        answer = self.child.read_line(ANSWER_TIMEOUT_S)
        assert answer is not None, f"the runner ended: {self.child.stderr_text()}"
        decoded = json.loads(answer)
        assert isinstance(decoded["ok"], bool)
        return decoded

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        answer = self.send(json.dumps({"op": op, **fields}))
        assert answer["op"] == op
        return answer

    def load(self, artifacts: Path, **changes: Any) -> dict[str, Any]:
        path, params, _ = self.case.paths(artifacts)
        request = {
            "protocol": PROTOCOL_VERSION,
            "model": str(path),
            "params": params and str(params),
            "threads": 1,
            "cores": None,
            "power_mode": None,
            "inputs": given(SHAPE),
            "options": {},
        }
        return self.ask("load", **{**request, **changes})

    def refused(self, answer: dict[str, Any]) -> str:
        assert answer["ok"] is False, answer
        assert answer["error"]["message"]
        return answer["error"]["code"]


@pytest.fixture
def talk(case: RunnerCase, tmp_path: Path) -> Iterator[Conversation]:
    conversation = Conversation(case, tmp_path)
    yield conversation
    conversation.child.kill()


@pytest.fixture(scope="module")
def loaded(case: RunnerCase, x0_25: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Conversation]:
    """A runner with a model, shared by the tests that leave it usable: every refusal must."""
    conversation = Conversation(case, tmp_path_factory.mktemp(case.name))
    assert conversation.load(x0_25)["ok"]
    yield conversation
    conversation.child.kill()


@pytest.fixture(scope="session")
def reference(x0_25: Path) -> np.ndarray:
    """Outputs of the seeded inputs by onnxruntime in this process, a reader that no runner shares."""
    import onnxruntime

    session = onnxruntime.InferenceSession(x0_25 / "inference.onnx", providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: seeded_inputs(2, (3, 224, 224))})[0]


def test_load_answers_what_took_effect(talk: Conversation, x0_25: Path) -> None:
    core = min(os.sched_getaffinity(0))
    answer = talk.load(x0_25, cores=[core])
    assert answer["ok"]
    assert answer["protocol"] == PROTOCOL_VERSION
    assert answer["engine"] == talk.case.engine
    assert answer["engine_version"]
    assert answer["load_ns"] > 0
    assert answer["requested_threads"] == 1
    assert answer["effective_threads"] in (1, None)
    assert answer["cores"] == [core]
    assert os.sched_getaffinity(answer["pid"]) == {core}
    assert len(answer["inputs"]) == 1
    assert answer["inputs"][0]["name"]


def test_threads_take_effect(talk: Conversation, x0_25: Path) -> None:
    if talk.case.max_threads == 1:
        assert talk.refused(talk.load(x0_25, threads=2)) == "unsupported"
        return
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    answer = talk.load(x0_25, threads=2)
    assert answer["effective_threads"] in (2, None)
    before = len(os.listdir(f"/proc/{answer['pid']}/task"))
    assert talk.ask("run", warmup=1, warmup_ns=0, repeats=10, min_ns=0, max_ns=10**10)["ok"]
    assert max(before, len(os.listdir(f"/proc/{answer['pid']}/task"))) >= 2


def test_run_times_what_was_asked(talk: Conversation, x0_25: Path) -> None:
    talk.load(x0_25)
    first = talk.ask("run", warmup=3, warmup_ns=0, repeats=5, min_ns=0, max_ns=10**10, seed=1, mark=True)
    assert first["first_run_ns"] > 0
    assert first["warmup_runs"] == 3
    assert len(first["samples_ns"]) == 5
    assert all(isinstance(sample, int) and sample > 1000 for sample in first["samples_ns"])
    second = talk.ask("run", warmup=0, warmup_ns=0, repeats=1, min_ns=50_000_000, max_ns=10**10)
    assert second["first_run_ns"] is None
    assert second["warmup_runs"] == 0
    assert sum(second["samples_ns"]) >= 50_000_000
    assert sum(second["samples_ns"][:-1]) < 50_000_000
    third = talk.ask("run", warmup=0, warmup_ns=30_000_000, repeats=10**6, min_ns=10**12, max_ns=30_000_000)
    assert third["warmup_runs"] >= 1
    assert sum(third["samples_ns"][:-1]) < 30_000_000
    assert third["cpu_ns"] is None or third["cpu_ns"] > 0
    assert third["peak_memory_bytes"] is None or third["peak_memory_bytes"] > 6_000_000
    talk.child.close()


def test_infer_gives_the_models_answer(loaded: Conversation, tmp_path: Path, reference: np.ndarray) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    seeded_inputs(2, (3, 224, 224)).tofile(source)
    answer = loaded.ask("infer", input=str(source), shapes=[SHAPE], output=str(target))
    assert answer["ok"], answer
    assert answer["outputs"][0]["shape"] == [2, 1000]
    assert answer["latency_ns"] > 0
    outputs = np.fromfile(target, "<f4").reshape(2, 1000)
    assert np.abs(outputs - reference).max() / np.ptp(reference) < 1e-4
    assert np.abs(reference[0] - reference[1]).max() > 1e-3
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == ["out"]


def test_infer_reads_and_writes_files_that_are_rewritten(
    loaded: Conversation, tmp_path: Path, reference: np.ndarray
) -> None:
    """As lanes do: the same memory for every batch, with timed runs on other inputs between."""
    source, target = tmp_path / "in", tmp_path / "out"
    inputs = seeded_inputs(2, (3, 224, 224))
    for order in ([0, 1], [1, 0], [0, 0], [1, 1]):
        with source.open("r+b" if source.exists() else "wb") as file:
            file.write(inputs[order].tobytes())
        assert loaded.ask("infer", input=str(source), shapes=[SHAPE], output=str(target))["ok"]
        outputs = np.fromfile(target, "<f4").reshape(2, 1000)
        assert np.abs(outputs - reference[order]).max() / np.ptp(reference) < 1e-4
        if order == [1, 0]:
            assert loaded.ask("run", repeats=1, warmup=0, warmup_ns=0, min_ns=0)["ok"]


def test_infer_takes_a_part_of_a_file_a_picture_at_a_time(
    talk: Conversation, case: RunnerCase, x0_25: Path, tmp_path: Path, reference: np.ndarray
) -> None:
    if case.name.startswith("native"):
        pytest.skip("only the host's worker shares files")
    source, target = tmp_path / "in", tmp_path / "out"
    inputs = seeded_inputs(2, (3, 224, 224))
    np.concatenate([inputs[1], inputs[0], inputs[1]]).tofile(source)
    assert talk.load(x0_25, inputs=given([1, 3, 224, 224]))["ok"]
    words = {"input": str(source), "shapes": [SHAPE], "output": str(target), "skip": inputs[0].nbytes}
    answer = talk.ask("infer", **words, at_once=1)
    assert (answer["ok"], answer["outputs"][0]["shape"]) == (True, [2, 1000])
    outputs = np.fromfile(target, "<f4").reshape(2, 1000)
    assert np.abs(outputs - reference).max() / np.ptp(reference) < 1e-4
    assert talk.refused(talk.ask("infer", **words, at_once=0)) == "request"


def test_infer_refuses_bad_files_and_shapes(loaded: Conversation, tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    seeded_inputs(2, (3, 224, 224)).tofile(source)
    missing = loaded.ask("infer", input=str(tmp_path / "no"), shapes=[SHAPE], output=str(target))
    assert loaded.refused(missing) == "io"
    source.write_bytes(source.read_bytes()[:-4])
    assert loaded.refused(loaded.ask("infer", input=str(source), shapes=[SHAPE], output=str(target))) == "io"
    other = loaded.ask("infer", input=str(source), shapes=[[2, 1, 224, 224]], output=str(target))
    assert loaded.refused(other) == "shape"
    seeded_inputs(2, (3, 224, 224)).tofile(source)
    nowhere = loaded.ask("infer", input=str(source), shapes=[SHAPE], output=str(tmp_path / "no" / "out"))
    assert loaded.refused(nowhere) == "io"
    assert not target.exists()


TWO: list[dict[str, Any]] = [
    {"name": "x", "dtype": "float32", "shape": [1, 3, 4]},
    {"name": "k", "dtype": "int64", "shape": [1, 3]},
]


def expected_of_two(x: np.ndarray, k: np.ndarray) -> list[np.ndarray]:
    """Compute the outputs of `tests.convert.onnx_models.two_inputs`."""
    weights = np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 2)
    return [x @ weights + np.array([[0.5, 1.0], [-2.0, 4.0]], np.float32)[k], k + k]


def read_outputs(path: Path, outputs: list[dict[str, Any]]) -> list[np.ndarray]:
    """The arrays of an output file, which holds nothing else."""
    content, arrays = path.read_bytes(), []
    for one in outputs:
        size = int(np.prod(one["shape"])) * np.dtype(one["dtype"]).itemsize
        arrays.append(np.frombuffer(content[:size], one["dtype"]).reshape(one["shape"]))
        content = content[size:]
    assert not content
    return arrays


def test_inputs_and_outputs_go_by_name_and_type(talk: Conversation, two_inputs: Path, tmp_path: Path) -> None:
    answer = talk.load(two_inputs, inputs=TWO)
    assert answer["ok"], answer
    assert [(one["name"], one["dtype"]) for one in answer["inputs"]] == [("x", "float32"), ("k", "int64")]
    assert len(answer["outputs"]) == 2
    # Other indices than 0 and 1 would fail.
    assert talk.ask("run", warmup=0, warmup_ns=0, repeats=2, min_ns=0, max_ns=10**9)["ok"]
    source, target = tmp_path / "in", tmp_path / "out"
    random = np.random.default_rng(0)
    for rows in (1, 1) if talk.case.name == "openvino" else (1, 3, 2):
        x, k = random.standard_normal((rows, 3, 4)).astype(np.float32), random.integers(0, 2, (rows, 3))
        source.write_bytes(x.tobytes() + k.astype(np.int64).tobytes())
        answer = talk.ask(
            "infer", input=str(source), shapes=[list(x.shape), list(k.shape)], output=str(target)
        )
        assert answer["ok"], answer
        assert [one["dtype"] for one in answer["outputs"]] == ["float32", "int64"]
        found, wanted = read_outputs(target, answer["outputs"]), expected_of_two(x, k)
        np.testing.assert_allclose(found[0], wanted[0], atol=1e-5)
        np.testing.assert_array_equal(found[1], wanted[1])
    for shapes in ([[1, 3, 4]], [[1, 3, 4], [1, 3], [1, 3]], [1, 3, 4], None):
        answer = talk.ask("infer", input=str(source), shapes=shapes, output=str(target))
        assert talk.refused(answer) == "request"


def test_other_inputs_than_the_models_are_refused_by_name(talk: Conversation, two_inputs: Path) -> None:
    of_program = [
        ([TWO[0], {**TWO[1], "dtype": "int32"}], "unsupported", "input k is int64, not int32"),
        ([{**TWO[0], "shape": [1, 3, 5]}, TWO[1]], "shape", "input x"),
        ([TWO[0], {**TWO[1], "shape": [1, 3, 1]}], "shape", "input k"),
    ]
    for inputs, code, named in (
        (TWO[:1], "unsupported", "the inputs x, k, not x"),
        ([*TWO, {**TWO[1], "name": "z"}], "unsupported", "not x, k, z"),
        ([TWO[0], {**TWO[1], "name": "z"}], "unsupported", "not x, z"),
        (TWO[::-1], "unsupported", "not k, x"),
        ([TWO[0], {**TWO[1], "dtype": "complex64"}], "unsupported", "input k as complex64"),
        # A .nb has names alone.
        *(of_program if talk.case.kind is not ArtifactKind.NB_X86 else ()),
    ):
        answer = talk.load(two_inputs, inputs=inputs)
        assert talk.refused(answer) == code
        assert named in answer["error"]["message"]
    assert talk.load(two_inputs, inputs=TWO)["ok"]


def test_every_type_goes_through(case: RunnerCase, tmp_path: Path) -> None:
    if case.kind is not ArtifactKind.ONNX:
        pytest.skip("the model is ONNX")
    names = {"x": "float32", "u": "uint8", "h": "float16", "b": "bool", "k": "int64", "i": "int32"}
    model, source, target = onnx_models.every_type(tmp_path / "six.onnx"), tmp_path / "in", tmp_path / "out"
    arrays = [np.array([[0, 1, 1]], dtype) for dtype in names.values()]
    source.write_bytes(b"".join(array.tobytes() for array in arrays))
    talk = Conversation(case, tmp_path)
    inputs = [{"name": name, "dtype": dtype, "shape": [1, 3]} for name, dtype in names.items()]
    request = {"protocol": PROTOCOL_VERSION, "model": str(model), "inputs": inputs}
    loaded = talk.ask("load", **request)
    assert loaded["ok"], loaded
    shape = [1 if case.name == "openvino" else None, 3]
    assert loaded["inputs"] == [{**one, "shape": shape} for one in inputs]
    assert talk.ask("run", warmup=0, warmup_ns=0, repeats=1, min_ns=0)["ok"]
    answer = talk.ask("infer", input=str(source), shapes=[[1, 3]] * 6, output=str(target))
    assert answer["ok"], answer
    wanted = [*list(names.values())[1:], "float32"]
    assert [one["dtype"] for one in answer["outputs"]] == wanted
    for found in read_outputs(target, answer["outputs"]):
        assert found.astype(float).tolist() == [[0, 1, 1]]
    talk.child.close()


def test_rows_of_several_inputs_go_a_few_at_a_time(
    talk: Conversation, two_inputs: Path, tmp_path: Path
) -> None:
    if talk.case.name.startswith("native"):
        pytest.skip("only the host's worker shares files")
    source, target = tmp_path / "in", tmp_path / "out"
    x = np.random.default_rng(0).standard_normal((3, 3, 4)).astype(np.float32)
    k = np.array([[0, 0, 1], [1, 0, 1], [1, 1, 0]])
    # The int64 lie at no multiple of their size.
    source.write_bytes(b"1234" + x.tobytes() + k.tobytes() + b"more")
    assert talk.load(two_inputs, inputs=TWO)["ok"]
    words = {"input": str(source), "output": str(target), "skip": 4, "at_once": 1}
    answer = talk.ask("infer", **words, shapes=[[3, 3, 4], [3, 3]])
    assert answer["ok"], answer
    found, wanted = read_outputs(target, answer["outputs"]), expected_of_two(x, k)
    np.testing.assert_allclose(found[0], wanted[0], atol=1e-5)
    np.testing.assert_array_equal(found[1], wanted[1])
    assert talk.refused(talk.ask("infer", **words, shapes=[[3, 3, 4], [2, 3]])) == "shape"


def test_environment_needs_no_model(talk: Conversation) -> None:
    first, second = talk.ask("environment"), talk.ask("environment")
    assert second["clock_ns"] > first["clock_ns"]
    assert first["cores"]
    assert {"core", "frequency_khz", "max_frequency_khz", "governor"} <= set(first["cores"][0])
    assert all(-50 < value < 150 for value in first["temperatures_celsius"].values())
    assert talk.child.close() == 0


def test_the_fixed_workload_is_the_same_everywhere(talk: Conversation) -> None:
    answer = talk.ask("reference")
    assert answer["reference_ns"] > 0
    assert answer["sha256"] == hashlib.sha256(bytes(range(256)) * 8192).hexdigest()
    assert talk.child.close() == 0


@pytest.mark.parametrize(
    "line",
    [
        "this is no JSON",
        "[1, 2]",
        '{"op": "dance"}',
        '{"no": "op"}',
        '{"op": "run"}',
        '{"op": "infer", "input": "/x", "shapes": [[1]], "output": "/y"}',
        *(
            f'{{"op": "load", "protocol": {PROTOCOL_VERSION}, {words}}}'
            for words in (
                '"model": 7, "inputs": [{"name": "x", "dtype": "float32", "shape": [1, 3]}]',
                '"model": "/x", "inputs": []',
                '"model": "/x", "inputs": ["x"]',
                '"model": "/x", "input_shape": [1, 3, 224, 224]',
                '"model": "/x", "inputs": [{"name": "x", "dtype": "float32", "shape": [1, -3]}]',
                '"model": "/x", "inputs": [{"name": "x", "dtype": "float32"}]',
                '"model": "/x", "inputs": [{"name": "", "dtype": "float32", "shape": [1, 3]}]',
                '"model": "/x", "inputs": [{"name": "x", "dtype": 7, "shape": [1, 3]}]',
                '"model": "/x", "inputs": [{"name": "x", "dtype": "float32", "shape": [1]}], "threads": 0',
            )
        ),
    ],
)
def test_malformed_requests_are_answered(talk: Conversation, line: str) -> None:
    assert talk.refused(talk.send(line)) == "request"
    assert talk.ask("environment")["ok"]
    assert talk.child.close() == EXIT_CODES[ErrorCode.REQUEST]


def test_requests_after_load_are_checked(loaded: Conversation, x0_25: Path) -> None:
    assert loaded.refused(loaded.load(x0_25)) == "request"
    assert loaded.refused(loaded.ask("run", repeats=0)) == "request"
    assert loaded.refused(loaded.ask("run", warmup=-1)) == "request"
    assert loaded.refused(loaded.ask("run", repeats="many")) == "request"
    assert loaded.ask("run", warmup=0, warmup_ns=0, repeats=1, min_ns=0, max_ns=10**9)["ok"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"protocol": PROTOCOL_VERSION + 1}, "protocol"),
        ({"protocol": PROTOCOL_VERSION - 1, "inputs": None, "input_shape": SHAPE}, "protocol"),
        ({"model": "/no/such/model"}, "model_missing"),
        ({"cores": [4096]}, "cores"),
        ({"options": {"no_such_option": "on"}}, "request"),
    ],
)
def test_load_is_refused_by_its_reason(
    talk: Conversation, x0_25: Path, changes: dict[str, Any], code: str
) -> None:
    assert talk.refused(talk.load(x0_25, **changes)) == code
    assert talk.child.close() == EXIT_CODES[ErrorCode(code)]


def test_a_file_is_checked_apart_from_loading(talk: Conversation, x0_25: Path, tmp_path: Path) -> None:
    path, _, sha256 = talk.case.paths(x0_25)
    right = {"protocol": PROTOCOL_VERSION, "model": str(path), "sha256": sha256}
    assert talk.ask("check", **right) == {"ok": True, "op": "check", "protocol": PROTOCOL_VERSION}
    assert talk.load(x0_25)["ok"]
    assert talk.ask("check", **right)["ok"]
    assert talk.refused(talk.ask("check", **{**right, "sha256": "0" * 64})) == "hash_mismatch"
    assert talk.refused(talk.ask("check", **{**right, "model": str(tmp_path / "none")})) == "model_missing"
    assert talk.refused(talk.ask("check", **{**right, "model": str(tmp_path)})) == "model_missing"
    assert talk.refused(talk.ask("check", **{**right, "protocol": PROTOCOL_VERSION - 1})) == "protocol"
    assert talk.refused(talk.ask("check", **{**right, "sha256": 7})) == "request"
    assert talk.ask("run", warmup=0, warmup_ns=0, repeats=1, min_ns=0, max_ns=10**9)["ok"]


def test_too_many_threads_are_refused(talk: Conversation, x0_25: Path) -> None:
    if talk.case.max_threads == 1:
        pytest.skip("has one thread")
    assert talk.refused(talk.load(x0_25, threads=2, cores=[min(os.sched_getaffinity(0))])) == "cores"
    assert talk.refused(talk.load(x0_25, threads=len(os.sched_getaffinity(0)) + 1)) == "threads"
    assert talk.child.close() == EXIT_CODES[ErrorCode.CORES]


@pytest.mark.parametrize("content", [b"", b"\x00" * 4096, b"not a model at all " * 300])
def test_a_bad_model_is_refused_or_ends_the_runner(
    talk: Conversation, x0_25: Path, tmp_path: Path, content: bytes
) -> None:
    """Engines may abort on such files; what they must not do is answer as if they had a model."""
    model = tmp_path / "model"
    model.write_bytes(content)
    _, params, _ = talk.case.paths(x0_25)
    request = {
        "op": "load", "protocol": PROTOCOL_VERSION, "model": str(model), "params": params and str(params),
        "threads": 1, "inputs": given(SHAPE),
    }  # fmt: skip
    talk.child.write_line(json.dumps(request))
    line = talk.child.read_line(ANSWER_TIMEOUT_S)
    if line is None:
        assert talk.child.close() != 0
    else:
        assert talk.refused(json.loads(line)) in ("model_invalid", "unsupported", "shape")
        assert talk.child.close() != 0


def test_an_unanswered_runner_ends_with_its_input(talk: Conversation) -> None:
    assert talk.child.close() == 0
    assert talk.child.stderr_text() == ""
