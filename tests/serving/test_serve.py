"""The service by an independent client (tritonclient), over REST and gRPC, with a real model and engine."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from scripts.sides import children
from tests.conftest import REPOSITORY, RunCli, require_mlserver
from tests.serving.services import (
    MODEL,
    RANDOM_MODEL,
    SAMPLES,
    Ports,
    Service,
    rest_body,
    serve_command,
    start,
)

require_mlserver()
grpc = pytest.importorskip("tritonclient.grpc")
http = pytest.importorskip("tritonclient.http")


def images(contents: list[bytes]) -> grpc.InferInput:
    given = grpc.InferInput("image", [len(contents)], "BYTES")
    given.set_data_from_numpy(np.array(contents, dtype=object))
    return given


def test_grpc_answers_are_those_of_predict(service: Service, predicted: list[dict[str, object]]) -> None:
    with grpc.InferenceServerClient(f"127.0.0.1:{service.grpc}") as client:
        assert client.is_server_live() and client.is_model_ready("PPLCNet_x0_25")
        answer = client.infer(MODEL, [images([path.read_bytes() for path in SAMPLES])])
    for row, expected in enumerate(predicted):
        assert answer.as_numpy("class_ids")[row].tolist() == expected["class_ids"]
        assert answer.as_numpy("scores")[row] == pytest.approx(expected["scores"], abs=2e-5)
        assert [name.decode() for name in answer.as_numpy("label_names")[row]] == expected["label_names"]


def test_rest_answers_are_those_of_predict(service: Service, predicted: list[dict[str, object]]) -> None:
    for path, expected in zip(SAMPLES, predicted, strict=True):
        status, text = service.infer(rest_body(path.read_bytes()))
        outputs = {output["name"]: output["data"] for output in json.loads(text)["outputs"]}
        assert status == 200
        assert outputs["class_ids"] == expected["class_ids"]
        assert outputs["scores"] == pytest.approx(expected["scores"], abs=2e-5)


@pytest.mark.parametrize(
    ("fence", "program"), [("python", [sys.executable, "-c"]), ("", ["bash", "-c"])], ids=["python", "curl"]
)
def test_the_pages_examples_run(service: Service, tmp_path: Path, fence: str, program: list[str]) -> None:
    if not fence and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    page = (REPOSITORY / "docs" / "service.md").read_text()
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    example = next(block for language, block in blocks if language == fence and "page.png" in block)
    example = example.replace(":8081", f":{service.grpc}").replace(":8080", f":{service.rest}")
    shutil.copy(SAMPLES[1], tmp_path / "page.png")
    done = subprocess.run([*program, example], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "90" in done.stdout.partition("label_names")[2] or "b'90'" in done.stdout


def test_tensors_and_probabilities(service: Service) -> None:
    given = grpc.InferInput("x", [2, 3, 224, 224], "FP32")
    given.set_data_from_numpy(np.random.default_rng(0).normal(size=(2, 3, 224, 224)).astype(np.float32))
    with grpc.InferenceServerClient(f"127.0.0.1:{service.grpc}") as client:
        name = client.get_model_metadata(MODEL).inputs[1].name
        assert name == "x"
        answer = client.infer(MODEL, [given], outputs=[grpc.InferRequestedOutput("probabilities")])
    assert answer.as_numpy("probabilities").shape == (2, 4)
    assert answer.as_numpy("probabilities").sum(axis=1) == pytest.approx([1, 1], abs=1e-5)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (rest_body(b"no picture"), "not a picture"),
        (rest_body(SAMPLES[0].read_bytes()[:2000]), "damaged"),
        (rest_body(*[SAMPLES[0].read_bytes()] * 9), "1 to 8 pictures"),
        (rest_body(b"x").replace(b"BYTES", b"INT64"), "BYTES"),
        (rest_body(b"x").replace(b'"image"', b'"y"'), "image or x"),
        (b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}', "shape"),
    ],
)
def test_bad_requests_are_told_what_is_wrong(service: Service, body: bytes, said: str) -> None:
    status, text = service.infer(body)
    assert status == 400
    assert said in json.loads(text)["error"]


def test_too_large_a_body_and_an_unknown_model_are_refused(service: Service) -> None:
    status, _ = service.post("/v2/models/nobody/infer", rest_body(b"x"))
    assert status == 404
    status, text = service.post(f"/v2/models/{MODEL}/infer", b" " * (4 << 20) + rest_body(b"x"))
    assert status == 413 and "larger" in text
    with (
        grpc.InferenceServerClient(f"127.0.0.1:{service.grpc}") as client,
        pytest.raises(Exception, match=r"larger|RESOURCE_EXHAUSTED"),
    ):
        client.infer(MODEL, [images([b" " * (5 << 20)])])


def test_under_load_nothing_is_lost_and_broken_pictures_harm_nobody_else(
    service: Service, predicted: list[dict[str, object]]
) -> None:
    contents = [path.read_bytes() for path in SAMPLES]

    def ask(index: int) -> int | None:
        with grpc.InferenceServerClient(f"127.0.0.1:{service.grpc}") as client:
            if index % 10 == 9:
                with pytest.raises(Exception, match="not a picture"):
                    client.infer(MODEL, [images([b"broken"])])
                return None
            answer = client.infer(MODEL, [images([contents[index % 4]])], client_timeout=60)
            return int(answer.as_numpy("class_ids")[0, 0])

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(160)))
    best = [expected["class_ids"][0] for expected in predicted]
    assert answers == [None if index % 10 == 9 else best[index % 4] for index in range(160)]
    metrics = service.get("/metrics", service.ports.metrics)
    lines = [line.split() for line in metrics.splitlines() if f'model="{MODEL}"' in line]
    values = {line[0].partition("{")[0]: float(line[1]) for line in lines}
    assert values["edgekit_batch_size_sum"] >= 144


def test_a_stop_answers_what_is_in_hand_and_ends_well(exported: Path, tmp_path: Path) -> None:
    ports = Ports()
    running = start(serve_command(ports, MODEL), ports, tmp_path / "log", exported.parent)
    body = rest_body(*[SAMPLES[0].read_bytes()] * 8)
    statuses: list[int] = []
    asking = threading.Thread(target=lambda: statuses.append(running.infer(body)[0]))
    asking.start()
    time.sleep(0.05)
    running.child.send_signal(signal.SIGTERM)
    asking.join(30)
    assert running.child.wait(30) == 0, running.log.read_text()
    assert statuses == [200]
    children = subprocess.run(["pgrep", "-P", str(running.child.pid)], capture_output=True, check=False)
    assert not children.stdout


def kill_runners(service: Service) -> None:
    for pid in children(service.child.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_runner_that_dies_is_replaced_and_no_request_fails(service: Service) -> None:
    kill_runners(service)
    body = rest_body(SAMPLES[1].read_bytes(), SAMPLES[0].read_bytes())
    for model in (MODEL, RANDOM_MODEL):
        status, text = service.post(f"/v2/models/{model}/infer", body)
        assert status == 200, text
        assert model == RANDOM_MODEL or '"data":[1,' in text


def test_a_request_whose_runners_die_again_and_again_fails_by_name(service: Service) -> None:
    body = rest_body(SAMPLES[1].read_bytes())
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(service.infer, body)
        while not asked.done():
            kill_runners(service)
            time.sleep(0.02)
    status, text = asked.result()
    assert status == 500 and "SIGKILL" in text
    for model in (MODEL, RANDOM_MODEL):
        status, text = service.post(f"/v2/models/{model}/infer", body)
        assert status == 200, text


def test_an_engine_of_one_batch_size_serves_any_number_of_pictures(
    exported: Path, tmp_path: Path, predicted: list[dict[str, object]]
) -> None:
    pytest.importorskip("openvino")
    ports = Ports()
    command = [*serve_command(ports, MODEL), "--engine", "openvino", "--max-batch", "4"]
    running = start(command, ports, tmp_path / "log", exported.parent)
    try:
        for count in (1, 3, 4):
            body = rest_body(*[path.read_bytes() for path in SAMPLES[:count]])
            status, text = running.infer(body)
            assert status == 200, text
            outputs = {output["name"]: output["data"] for output in json.loads(text)["outputs"]}
            expected = [one for answer in predicted[:count] for one in answer["class_ids"]]
            assert outputs["class_ids"] == expected
    finally:
        running.child.send_signal(signal.SIGTERM)
        assert running.child.wait(30) == 0


def test_a_taken_port_and_a_missing_model_are_errors(
    service: Service, run_cli: RunCli, exported: Path
) -> None:
    taken = run_cli(serve_command(Ports(rest=service.rest), MODEL)[3:], cwd=exported.parent)
    assert taken.exit_code == 3 and "in use" in taken.stderr
    assert "--port PORT" in taken.stderr
    same = run_cli(["serve", MODEL, "--grpc-port", "8080"], cwd=exported.parent)
    assert same.exit_code == 2 and "--port and --grpc-port" in same.stderr
    elsewhere = run_cli(["serve", MODEL, "--host", "203.0.113.5"], cwd=exported.parent)
    assert elsewhere.exit_code == 3 and "--host" in elsewhere.stderr
    int8 = run_cli(["serve", MODEL, "--precision", "int8"], cwd=exported.parent)
    assert int8.exit_code == 3 and f"edgekit quantize {MODEL}" in int8.stderr
    missing = run_cli(["serve", "nobody"], cwd=exported.parent)
    assert missing.exit_code == 3 and "edgekit import PATH --name nobody" in missing.stderr


def test_a_model_that_does_not_load_is_an_error_that_names_it(
    run_cli: RunCli, exported: Path, tmp_path: Path
) -> None:
    shutil.copytree(exported / MODEL, tmp_path / "broken")
    (tmp_path / "broken" / "inference.onnx").write_bytes(b"cut")
    words = serve_command(Ports(), tmp_path / "broken", "--host", "0.0.0.0")[3:]
    done = run_cli(words, cwd=tmp_path)
    assert "listening at 0.0.0.0 without --api-key" in done.stderr and "serving " not in done.stderr
    assert done.exit_code == 3
    error = done.stderr.partition("error: ")[2]
    assert f"{tmp_path / 'broken'}/inference.onnx: 3 bytes, the manifest says" in error and "--force" in error
    assert "Traceback" not in done.stdout + done.stderr


def test_the_settings_alone_are_what_mlserver_serves(run_cli: RunCli, exported: Path, tmp_path: Path) -> None:
    ports = Ports()
    repository = tmp_path / "repository"
    done = run_cli([*serve_command(ports, MODEL)[3:], "--settings-only", repository], cwd=exported.parent)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip() == f"mlserver start {repository}"
    command = [str(Path(sys.executable).with_name("mlserver")), "start", str(repository)]
    running = start(command, ports, tmp_path / "log", tmp_path, said="Loaded model")
    try:
        status, text = running.post(f"/v2/models/{MODEL}/infer", rest_body(SAMPLES[1].read_bytes()))
        assert status == 200 and '"data":[1,' in text
    finally:
        os.kill(running.child.pid, signal.SIGTERM)
        running.child.wait(30)
