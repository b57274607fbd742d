"""Requests and answers of the Open Inference Protocol V2 as they go over REST and gRPC.

MLServer 1.7.1 reads them too, but knows neither binary tensors over REST nor typed contents in answers over
gRPC, unpacks tensors number by number, and takes errors of clients for its own.
"""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from mlserver.errors import InferenceError
from mlserver.grpc.converters import ModelInferResponseConverter, ModelMetadataResponseConverter
from mlserver.grpc.servicers import InferenceServicer
from mlserver.handlers import DataPlane
from mlserver.raw import pack
from mlserver.types import InferenceRequest, InferenceResponse, RequestInput, RequestOutput, TensorData
from starlette.requests import Request
from starlette.responses import Response

# Binary tensor data extension: the length of the JSON part; the tensors follow it.
JSON_LENGTH = "inference-header-content-length"
TYPED = {
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "INT64": "int64_contents",
    "INT32": "int_contents",
    "INT8": "int_contents",
    "UINT8": "uint_contents",
    "BOOL": "bool_contents",
    "BYTES": "bytes_contents",
}
SIZES = {"FP64": 8, "FP32": 4, "FP16": 2, "INT64": 8, "INT32": 4, "INT8": 1, "UINT8": 1, "BOOL": 1}
# Values that are turned into JSON in the time that a small request takes.
FEW_VALUES = 1 << 16
WHAT_IS_ASKED = (
    "the body is a JSON object as in the Open Inference Protocol, with a picture as base64 text: "
    '{"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"data":["…"]}]}'
)


class _Input(msgspec.Struct):
    name: str
    datatype: str
    shape: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]
    data: msgspec.Raw = msgspec.Raw()
    parameters: dict[str, Any] = {}


class _Output(msgspec.Struct):
    name: str
    parameters: dict[str, Any] = {}


class _Request(msgspec.Struct):
    inputs: list[_Input]
    id: str | None = None
    outputs: list[_Output] = []
    parameters: dict[str, Any] = {}


class RestInference:
    """Endpoint `infer` over REST, with tensors in JSON or behind it."""

    def __init__(self, data_plane: DataPlane) -> None:
        self._data_plane = data_plane

    async def infer(self, request: Request) -> Response:
        asked, payload = _read_rest(await request.body(), request.headers.get(JSON_LENGTH))
        name, version = request.path_params["model_name"], request.path_params.get("model_version")
        answer = await _infer(self._data_plane, payload, name, version)
        if any(_is_large(output) for output in answer.outputs):
            described, tail = await asyncio.to_thread(_write_rest, answer, asked)
        else:
            described, tail = _write_rest(answer, asked)
        if not tail:
            return Response(described, media_type="application/json")
        length = {JSON_LENGTH: str(len(described))}
        return Response(described + b"".join(tail), headers=length, media_type="application/octet-stream")


class GrpcInference(InferenceServicer):  # type: ignore[misc]
    """Methods of the gRPC service that MLServer answers otherwise; their errors are the interceptor's."""

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        payload = _read_grpc(request)
        answer = await _infer(self._data_plane, payload, request.model_name, request.model_version)
        return _write_grpc(answer, use_raw=bool(request.raw_input_contents))

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        found = await self._data_plane.model_metadata(request.name, request.version)
        return ModelMetadataResponseConverter.from_types(found)


async def _infer(
    data_plane: DataPlane, payload: InferenceRequest, name: str, version: str | None
) -> InferenceResponse:
    # Before the data plane keeps counters for this name for ever.
    await data_plane._model_registry.get_model(name, version)
    answer = await data_plane.infer(payload, name, version)
    if answer.parameters is not None:
        # CloudEvents; an `id` of any text does not go into headers.
        answer.parameters.headers = None
    return answer


async def infer_pictures(
    data_plane: DataPlane, pictures: Sequence[bytes], name: str, wanted: Sequence[str]
) -> InferenceResponse:
    """Answer encoded pictures by a model's outputs of these names; without names by its usual ones."""
    given = _input("image", "BYTES", (len(pictures),), list(pictures))
    return await _infer(data_plane, _request(None, [given], list(wanted)), name, None)


def _read_rest(content: bytes, length: str | None) -> tuple[_Request, InferenceRequest]:
    described, tail = content, b""
    if length is not None:
        if not (length.isascii() and length.isdigit()) or int(length) > len(content):
            raise InferenceError(f"{JSON_LENGTH} says {length[:20]!r}, the body has {len(content)} bytes")
        described, tail = content[: int(length)], content[int(length) :]
    try:
        asked = msgspec.json.decode(described, type=_Request)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InferenceError(f"reading the request: {error}; {WHAT_IS_ASKED}") from error
    inputs = []
    for given in asked.inputs:
        size = given.parameters.get("binary_data_size")
        if size is None:
            data = _from_json(given)
        elif not isinstance(size, int) or not 0 <= size <= len(tail):
            raise InferenceError(f"input {given.name!r}: {size} binary bytes, but {len(tail)} are there")
        else:
            data = _from_raw(given.name, given.datatype, given.shape, tail[:size])
            tail = tail[size:]
        inputs.append(_input(given.name, given.datatype, given.shape, data))
    if tail:
        raise InferenceError(f"reading the request: {len(tail)} bytes after the last input")
    return asked, _request(asked.id, inputs, [output.name for output in asked.outputs])


def _from_json(given: _Input) -> Any:
    content = bytes(given.data)
    # Counted first, because a list in Python takes many times the memory of its text.
    if given.datatype != "BYTES" and content.count(b",") + 1 != max(1, math.prod(given.shape)):
        values = content.count(b",") + 1
        raise InferenceError(f"input {given.name!r} of shape {given.shape} has {values} values")
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InferenceError(f"input {given.name!r}: data: {error}") from error


def _read_grpc(request: Any) -> InferenceRequest:
    raw = list(request.raw_input_contents)
    if raw and len(raw) != len(request.inputs):
        raise InferenceError(f"{len(request.inputs)} inputs, but {len(raw)} raw_input_contents")
    inputs = []
    for index, given in enumerate(request.inputs):
        shape = tuple(given.shape)
        if any(size < 0 for size in shape):
            raise InferenceError(f"input {given.name!r} has the shape {shape}")
        if raw:
            data = _from_raw(given.name, given.datatype, shape, raw[index])
        else:
            data = list(getattr(given.contents, TYPED.get(given.datatype, "bytes_contents")))
        inputs.append(_input(given.name, given.datatype, shape, data))
    return _request(request.id, inputs, [output.name for output in request.outputs])


def _from_raw(name: str, datatype: str, shape: tuple[int, ...], raw: bytes) -> Any:
    needed = SIZES.get(datatype, 0) * math.prod(shape)
    if datatype in SIZES and len(raw) != needed:
        raise InferenceError(
            f"input {name!r} has {len(raw)} bytes, {datatype} of shape {shape} needs {needed}"
        )
    if datatype != "BYTES":
        return raw
    entries: list[bytes] = []
    position = 0
    while position < len(raw):
        if position + 4 > len(raw):
            raise InferenceError(f"input {name!r}: {len(raw) - position} bytes are no length of 4 bytes")
        (size,) = struct.unpack_from("<I", raw, position)
        position += 4 + size
        if position > len(raw):
            raise InferenceError(f"input {name!r}: entry {len(entries)} is cut")
        entries.append(raw[position - size : position])
    return entries


def _input(name: str, datatype: str, shape: tuple[int, ...], data: Any) -> RequestInput:
    return RequestInput.model_construct(
        name=name, datatype=datatype, shape=list(shape), data=TensorData.model_construct(root=data)
    )


def _request(identity: str | None, inputs: list[RequestInput], outputs: list[str]) -> InferenceRequest:
    wanted = [RequestOutput.model_construct(name=name) for name in outputs]
    return InferenceRequest.model_construct(id=identity, inputs=inputs, outputs=wanted)


def _write_rest(answer: InferenceResponse, asked: _Request) -> tuple[bytes, list[bytes]]:
    """Return the JSON part of an answer, and the outputs that the client wants binary."""
    every = asked.parameters.get("binary_data_output") is True
    binary = {output.name for output in asked.outputs if output.parameters.get("binary_data", every) is True}
    outputs, tail = [], []
    for output in answer.outputs:
        described = {"name": output.name, "shape": output.shape, "datatype": _datatype(output)}
        if output.name in binary or (every and not asked.outputs):
            tail.append(_pack(output))
            described["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            described["data"] = _json_values(output)
        outputs.append(described)
    content: dict[str, Any] = {"model_name": answer.model_name, "id": answer.id, "outputs": outputs}
    if answer.model_version is not None:
        content["model_version"] = answer.model_version
    kept = answer.parameters.model_dump(exclude_none=True) if answer.parameters is not None else {}
    if kept:
        content["parameters"] = kept
    return msgspec.json.encode(content), tail


def _write_grpc(answer: InferenceResponse, *, use_raw: bool) -> Any:
    # Contents have no place for FP16; an answer has all its outputs raw or none.
    if use_raw or any(_datatype(output) == "FP16" for output in answer.outputs):
        raw = [_pack(output) for output in answer.outputs]
        for output in answer.outputs:
            output.data = TensorData.model_construct(root=[])
        message = ModelInferResponseConverter.from_types(answer)
        message.raw_output_contents.extend(raw)
        return message
    for output in answer.outputs:
        if (array := _array(output)) is not None:
            output.data = TensorData.model_construct(root=array.reshape(-1).tolist())
    return ModelInferResponseConverter.from_types(answer)


def _array(output: Any) -> Any:
    """Return an output's values where they are an array; None for a list."""
    return output.data.root if hasattr(output.data.root, "dtype") else None


def _is_large(output: Any) -> bool:
    array = _array(output)
    return array is not None and array.size > FEW_VALUES


def _pack(output: Any) -> bytes:
    array = _array(output)
    return pack(output) if array is None else array.tobytes()  # type: ignore[no-any-return]


def _json_values(output: Any) -> Any:
    array = _array(output)
    if array is None:
        return [
            value.decode(errors="replace") if isinstance(value, bytes) else value for value in output.data
        ]
    flat = array.reshape(-1)
    # In parts, because a list takes eight bytes a value and more.
    parts = [
        msgspec.json.encode(flat[start : start + FEW_VALUES].tolist())[1:-1]
        for start in range(0, flat.size, FEW_VALUES)
    ]
    return msgspec.Raw(b"[" + b",".join(parts) + b"]")


def _datatype(output: Any) -> str:
    """Return the protocol's name of an output's type."""
    return str(getattr(output.datatype, "value", output.datatype))
