"""Clients of others with their default settings: tritonclient, stubs of the protocol's .proto, curl."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.serving.services import MODEL, RANDOM_MODEL, SAMPLES, Service, rest_body

grpc = pytest.importorskip("tritonclient.grpc")
http = pytest.importorskip("tritonclient.http")

# In a process of its own: the protocol buffers of MLServer and of tritonclient have the same names.
STUB_CLIENT = """
import json, sys
import grpc
from mlserver.grpc import dataplane_pb2 as protocol
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub

port, model, *pictures = sys.argv[1:]
def ask(stub, given):
    answer = stub.ModelInfer(protocol.ModelInferRequest(model_name=model, inputs=[given]), timeout=30)
    assert not answer.raw_output_contents
    outputs = {output.name: output.contents for output in answer.outputs}
    return {
        "class_ids": list(outputs["class_ids"].int64_contents),
        "scores": list(outputs["scores"].fp32_contents),
        "label_names": [name.decode() for name in outputs["label_names"].bytes_contents],
    }
with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
    stub = GRPCInferenceServiceStub(channel)
    image = protocol.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[len(pictures)])
    image.contents.bytes_contents.extend(open(path, "rb").read() for path in pictures)
    x = protocol.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 3, 224, 224])
    x.contents.fp32_contents.extend([0.5] * (3 * 224 * 224))
    print(json.dumps([ask(stub, image), ask(stub, x)]))
"""


def images() -> np.ndarray:
    return np.array([path.read_bytes() for path in SAMPLES], dtype=object)


@pytest.mark.parametrize("package", [http, grpc], ids=["http", "grpc"])
@pytest.mark.parametrize("wanted", [None, ["probabilities", "label_names"]])
def test_tritonclient_with_its_defaults(
    service: Service, predicted: list[dict[str, object]], package: object, wanted: list[str] | None
) -> None:
    port = service.rest if package is http else service.grpc
    outputs = None if wanted is None else [package.InferRequestedOutput(name) for name in wanted]
    with package.InferenceServerClient(f"127.0.0.1:{port}") as client:
        assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(MODEL)
        given = package.InferInput("image", [len(SAMPLES)], "BYTES")
        given.set_data_from_numpy(images())
        answer = client.infer(MODEL, [given], outputs=outputs, request_id="mine")
    names = [[name.decode() for name in row] for row in answer.as_numpy("label_names")]
    assert names == [expected["label_names"] for expected in predicted]
    if wanted is None:
        assert answer.as_numpy("class_ids").tolist() == [expected["class_ids"] for expected in predicted]
        assert answer.as_numpy("scores") == pytest.approx(
            np.array([expected["scores"] for expected in predicted]), abs=2e-5
        )
    else:
        assert answer.as_numpy("probabilities").shape == (len(SAMPLES), 4)


@pytest.mark.parametrize("package", [http, grpc], ids=["http", "grpc"])
def test_tritonclient_sends_tensors(service: Service, package: object) -> None:
    tensor = np.random.default_rng(0).normal(size=(2, 3, 224, 224)).astype(np.float32)
    given = package.InferInput("x", tensor.shape, "FP32")
    given.set_data_from_numpy(tensor)
    port = service.rest if package is http else service.grpc
    with package.InferenceServerClient(f"127.0.0.1:{port}") as client:
        answer = client.infer(MODEL, [given])
    assert answer.as_numpy("class_ids").shape == (2, 4)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_tritonclient_compresses_over_rest(service: Service, encoding: str) -> None:
    given = http.InferInput("image", [len(SAMPLES)], "BYTES")
    given.set_data_from_numpy(images())
    with http.InferenceServerClient(f"127.0.0.1:{service.rest}") as client:
        answer = client.infer(
            MODEL, [given], request_compression_algorithm=encoding, response_compression_algorithm=encoding
        )
    assert answer.as_numpy("class_ids").shape == (len(SAMPLES), 4)


def test_stubs_of_the_protocol_with_typed_contents(
    service: Service, predicted: list[dict[str, object]]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STUB_CLIENT, str(service.grpc), MODEL, *map(str, SAMPLES)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pictures, tensor = json.loads(done.stdout)
    assert pictures["class_ids"] == [one for expected in predicted for one in expected["class_ids"]]
    assert pictures["scores"] == pytest.approx(
        [one for expected in predicted for one in expected["scores"]], abs=2e-5
    )
    assert pictures["label_names"] == [one for expected in predicted for one in expected["label_names"]]
    assert len(tensor["class_ids"]) == 4


def test_curl(service: Service, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    (tmp_path / "body.json").write_bytes(rest_body(SAMPLES[1].read_bytes()))
    url = f"http://127.0.0.1:{service.rest}/v2/models/{MODEL}/infer"

    def curl(*words: str) -> tuple[int, str]:
        command = ["curl", "-s", "-w", "\n%{http_code}", url, *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True)
        text, _, status = done.stdout.rpartition("\n")
        return int(status), text

    status, text = curl("-d", "@body.json")
    assert status == 200 and json.loads(text)["outputs"][0]["data"][0] == 1
    for words in (["--data-binary", f"@{SAMPLES[0]}"], ["-F", f"image=@{SAMPLES[0]}"]):
        status, text = curl(*words)
        assert status == 400 and "base64" in json.loads(text)["error"]


def test_random_weights_are_said_in_metadata_and_answers(service: Service) -> None:
    known = json.loads(service.get(f"/v2/models/{MODEL}"))["parameters"]
    random = json.loads(service.get(f"/v2/models/{RANDOM_MODEL}"))["parameters"]
    assert "warning" not in known and known["weights"]
    assert "random" in random["weights"] and "accuracy mean nothing" in random["warning"]
    body = rest_body(SAMPLES[0].read_bytes())
    for model, warned in ((MODEL, False), (RANDOM_MODEL, True)):
        status, text = service.post(f"/v2/models/{model}/infer", body)
        assert status == 200, text
        assert ("mean nothing" in text) == warned
    assert f"{RANDOM_MODEL} has random weights" in service.log.read_text()
