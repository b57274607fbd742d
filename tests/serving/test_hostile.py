"""Requests that are wrong or mean: they are refused as the client's errors, and harm nobody else."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.serving.services import MODEL, SAMPLES, Service, rest_body

grpc = pytest.importorskip("grpc")
protocol = pytest.importorskip("tritonclient.grpc.service_pb2")

PICTURE = SAMPLES[1].read_bytes()
INFER = "ModelInfer"
TENSOR = 4 * 3 * 224 * 224


def tensor_body(shape: str, data: str) -> bytes:
    return f'{{"inputs":[{{"name":"x","datatype":"FP32","shape":{shape},"data":{data}}}]}}'.encode()


def binary_body(size: object, tail: bytes, shape: list[int]) -> tuple[bytes, dict[str, str]]:
    given = {"name": "x", "datatype": "FP32", "shape": shape, "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [given]}).encode()
    return head + tail, {"Inference-Header-Content-Length": str(len(head))}


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (PICTURE, {"Content-Type": "application/octet-stream"}),
        (b"\xff\xfe\x00", {"Content-Type": "application/octet-stream"}),
        (b"", {}),
        (b"[]", {}),
        (b'{"inputs": []}', {}),
        (b'{"inputs": null}', {}),
        (b"[" * 100_000, {}),
        (b'{"inputs":[{"name":"image","datatype":"BYTES","shape":[1]}]}', {}),
        (b'{"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"data":' + b"[" * 100_000, {}),
        (rest_body(PICTURE).replace(b'"shape": [1]', b'"shape": []'), {}),
        (rest_body(PICTURE).replace(b'"shape": [1]', b'"shape": [-1]'), {}),
        (rest_body(PICTURE)[:-9], {}),
        (rest_body(PICTURE, id="x").replace(b'"x"', b'"\\ud800"'), {}),
        (rest_body(PICTURE, outputs=[{"name": "\n"}]), {}),
        (tensor_body("[1,3,224,224]", "[1,2,3]"), {}),
        (tensor_body("[1,3,224,224]", "1"), {}),
        (tensor_body("[-1,3,224,224]", "[1]"), {}),
        (tensor_body("[0,3,224,224]", "[]"), {}),
        (tensor_body("[99999999999999999999,3]", "[1]"), {}),
        (tensor_body("[1,3,224,224]", f"[{','.join(['1e39'] * (TENSOR // 4))}]"), {}),
        (tensor_body("[1,3,224,224]", f"[{'9' * 400}{',1' * (TENSOR // 4 - 1)}]"), {}),
        (tensor_body("[1,3,224,224]", f"[{'9' * 5000}{',1' * (TENSOR // 4 - 1)}]"), {}),
        (tensor_body("[1,3,224,224]", f"[{',NaN' * (TENSOR // 4)}]".replace("[,", "[")), {}),
        binary_body(TENSOR, b"\0" * (TENSOR - 4), [1, 3, 224, 224]),
        binary_body(TENSOR, b"\0" * (TENSOR + 4), [1, 3, 224, 224]),
        binary_body(TENSOR, b"\0" * TENSOR, [2, 3, 224, 224]),
        binary_body(-1, b"\0" * TENSOR, [1, 3, 224, 224]),
        binary_body("1", b"\0" * TENSOR, [1, 3, 224, 224]),
        (rest_body(PICTURE), {"Inference-Header-Content-Length": "99999999"}),
        (rest_body(PICTURE), {"Inference-Header-Content-Length": "-1"}),
    ],
)  # fmt: skip
def test_errors_of_clients_are_400(service: Service, body: bytes, headers: dict[str, str]) -> None:
    before = service.log.read_text()
    status, text = service.infer(body, **headers)
    assert status == 400, text
    assert json.loads(text)["error"]
    assert "Traceback" not in service.log.read_text().removeprefix(before)


@pytest.mark.parametrize("identity", ["a\r\nb: c", "ä ✓", "x" * 100_000, ""])
def test_an_id_is_any_text(service: Service, identity: str) -> None:
    status, text = service.infer(rest_body(PICTURE, id=identity))
    assert status == 200 and json.loads(text)["id"] == identity
    answer = protocol.ModelInferResponse.FromString(call(service, request(identity=identity)))
    assert answer.id == identity


def request(
    raw: list[bytes] | None = None, shape: tuple[int, ...] = (1,), name: str = "image",
    datatype: str = "BYTES", model: str = MODEL, identity: str = "",
) -> bytes:  # fmt: skip
    asked = protocol.ModelInferRequest(model_name=model, id=identity)
    asked.inputs.add(name=name, datatype=datatype, shape=shape)
    packed = len(PICTURE).to_bytes(4, "little") + PICTURE
    asked.raw_input_contents.extend([packed] if raw is None else raw)
    return asked.SerializeToString()


def call(service: Service, content: bytes, method: str = INFER, **further: object) -> bytes:
    with grpc.insecure_channel(f"127.0.0.1:{service.grpc}") as channel:
        ask = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
        return ask(content, timeout=30, **further)


NOBODY = protocol.ModelReadyRequest(name="a\nb").SerializeToString()
BAD_CALLS = {
    "no message": (b"\xff\xff\xff", INFER, "INVALID_ARGUMENT"),
    "no inputs": (b"", INFER, "NOT_FOUND"),
    "no data": (request([]), INFER, "INVALID_ARGUMENT"),
    "two contents": (request([b"", b""]), INFER, "INVALID_ARGUMENT"),
    "cut tensor": (request([b"\0" * 16], (1, 3, 224, 224), "x", "FP32"), INFER, "INVALID_ARGUMENT"),
    "cut length": (request([b"\1\0"]), INFER, "INVALID_ARGUMENT"),
    "cut entry": (request([b"\xff\xff\xff\xffx"]), INFER, "INVALID_ARGUMENT"),
    "negative": (request([b"\0" * TENSOR], (-1, 3, 224, 224), "x", "FP32"), INFER, "INVALID_ARGUMENT"),
    "huge shape": (request([b"\0" * 4], (1 << 62, 1 << 62), "x", "FP32"), INFER, "INVALID_ARGUMENT"),
    "no type": (request([b"\0" * TENSOR], (1, 3, 224, 224), "x", "FP7"), INFER, "INVALID_ARGUMENT"),
    "no model": (request(model="no\nbody"), INFER, "NOT_FOUND"),
    "no model's metadata": (NOBODY, "ModelMetadata", "NOT_FOUND"),
    "no model ready": (NOBODY, "ModelReady", "NOT_FOUND"),
    "no stream": (request(), "ModelStreamInfer", "UNIMPLEMENTED"),
    "no method": (b"", "Nothing", "UNIMPLEMENTED"),
    "index": (b"", "RepositoryIndex", "PERMISSION_DENIED"),
    "unload": (b"", "RepositoryModelUnload", "PERMISSION_DENIED"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(BAD_CALLS))
def test_errors_of_grpc_clients_are_theirs(service: Service, case: str) -> None:
    content, method, code = BAD_CALLS[case]
    before = service.log.read_text()
    with pytest.raises(grpc.RpcError) as raised:
        call(service, content, method)
    assert raised.value.code().name == code, raised.value.details()
    assert "Traceback" not in service.log.read_text().removeprefix(before)


@pytest.mark.parametrize("path", ["index", f"models/{MODEL}/unload", f"models/{MODEL}/load"])
def test_the_repository_is_closed(service: Service, path: str) -> None:
    status, text = service.post(f"/v2/repository/{path}", b"{}")
    assert status == 403 and "--admin" in text
    assert service.get(f"/v2/models/{MODEL}/ready") is not None


def peak_megabytes(service: Service) -> int:
    status = Path(f"/proc/{service.child.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) >> 10


def test_compressed_bodies_count_unpacked(service: Service) -> None:
    before = peak_megabytes(service)
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(128)) + packer.flush()
    cases = [
        (bomb, "gzip", 413),
        (gzip.compress(rest_body(PICTURE)), "gzip", 200),
        (zlib.compress(rest_body(PICTURE)), "deflate", 200),
        (gzip.compress(rest_body(PICTURE))[:-9], "gzip", 400),
        (rest_body(PICTURE), "gzip", 400),
        (rest_body(PICTURE), "br", 415),
        (rest_body(PICTURE), "gzip, gzip", 415),
    ]
    for body, encoding, expected in cases:
        status, text = service.infer(body, **{"Content-Encoding": encoding})
        assert status == expected, (encoding, text)
    with pytest.raises(grpc.RpcError) as raised:
        call(service, request([bytes(128 << 20)]), compression=grpc.Compression.Gzip)
    assert raised.value.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert peak_megabytes(service) < before + 64


def test_a_tensor_that_overflows_fails_alone(service: Service) -> None:
    huge = np.full((1, 3, 224, 224), 3e38, np.float32).tobytes()
    overflow = request([huge], (1, 3, 224, 224), "x", "FP32")

    def ask(index: int) -> str:
        try:
            answer = call(service, [overflow, request([b"\4\0\0\0none"]), request()][index % 3])
        except grpc.RpcError as error:
            return f"{error.code().name} {error.details()}"
        return str(protocol.ModelInferResponse.FromString(answer).model_name)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(120)))
    assert set(answers[2::3]) == {MODEL}
    assert all("INVALID_ARGUMENT" in answer and "not finite" in answer for answer in answers[0::3])
    assert all("INVALID_ARGUMENT" in answer and "not a picture" in answer for answer in answers[1::3])


def test_no_http_at_all_and_cut_requests(service: Service) -> None:
    for content in (
        b"\x16\x03\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", service.rest), timeout=5) as connection:
            connection.sendall(content)
    connection = http.client.HTTPConnection("127.0.0.1", service.rest, timeout=5)
    connection.request("GET", "/v2/health/ready")
    assert connection.getresponse().status == 200
    connection.close()
