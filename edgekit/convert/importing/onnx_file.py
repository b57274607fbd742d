"""Checks an ONNX file before anything runs it: its graph, its sizes, and that it stays in its directory.

`from_onnx.graph` checks the graph itself.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from edgekit._files import sha256_file
from edgekit.convert.from_onnx import graph
from edgekit.convert.from_onnx.node import place
from edgekit.convert.importing.shapes import MOST_ELEMENTS, shown
from edgekit.core.artifact import TensorSpec
from edgekit.errors import InputError

if TYPE_CHECKING:
    import onnx

HINT = "export the model again"
# What ONNX Runtime brings besides ONNX's own operators.
_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})


def read(path: Path, origin: str) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Return a checked model without its external weights, and the SHA-256 of the files of these weights.

    Raises:
        InputError: It is no ONNX, damaged, or lies about its sizes; its external weights are cut, missing, or
            not inside the model's own directory.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        document = onnx.load(path, load_external_data=False)
    except (DecodeError, ValueError, OSError) as error:
        raise InputError(f"importing {origin}: {path.name} is no ONNX: {error}", hint=HINT) from error
    external: dict[str, str] = {}
    for tensor in _weights(document):
        _check_weight(tensor, path.parent, external, origin)
    _check_domains(document, origin)
    graph.check(document, origin)
    _check_sizes(document, origin)
    hashes = {name: sha256_file(path.parent / name) for name in sorted(external)}
    return document, hashes


def copy(path: Path, has_external: bool, target: Path) -> None:
    """Copy a model that `read` has passed; its external weights go into the one file."""
    if not has_external:
        shutil.copyfile(path, target)
        return
    import onnx

    try:
        target.write_bytes(onnx.load(path).SerializeToString(deterministic=True))
    except ValueError as error:
        raise InputError(
            f"importing {path}: with its weights inside it is more than the 2 GiB that one ONNX file holds",
            hint=HINT,
        ) from error


def tensors(values: Iterable[Any], origin: str, what: str) -> tuple[TensorSpec, ...]:
    """Return inputs or outputs as records. Raises InputError where one is no tensor of numbers."""
    import onnx

    specs = []
    for value in values:
        kind = value.type.WhichOneof("value")
        if kind != "tensor_type":
            raise InputError(
                f"importing {origin}: its {what} {value.name} is no tensor but {_without_type(kind)}",
                hint="export the model with tensors for inputs and outputs",
            )
        tensor = value.type.tensor_type
        dtype = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
        if dtype in ("string", "undefined"):
            raise InputError(
                f"importing {origin}: its {what} {value.name} is a tensor of {dtype}, not of numbers",
                hint="export the model with tensors of numbers for inputs and outputs",
            )
        sizes = tuple(
            int(each.dim_value) if each.HasField("dim_value") and each.dim_value > 0 else None
            for each in tensor.shape.dim
        )
        specs.append(TensorSpec(name=value.name, dtype=_NUMPY.get(dtype, dtype), shape=sizes))
    return tuple(specs)


def _without_type(kind: str | None) -> str:
    return "of no type" if kind is None else f"a {kind.removesuffix('_type')}"


_NUMPY = {"float": "float32", "double": "float64"}


def _weights(document: Any) -> Iterator[Any]:
    """Yield all tensors that hold numbers: of graphs, of attributes of nodes, and of graphs in attributes."""
    graphs = [document.graph]
    nodes = [node for function in document.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            one = graphs.pop()
            yield from one.initializer
            for sparse in one.sparse_initializer:
                yield sparse.values
                yield sparse.indices
            nodes.extend(one.node)
            continue
        for attribute in nodes.pop().attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            graphs.extend([*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs])


def _check_weight(tensor: Any, directory: Path, external: dict[str, str], origin: str) -> None:
    """Check that a tensor holds as many numbers as its sizes say; add the path of its file to `external`."""
    import onnx

    dims = [int(each) for each in tensor.dims]
    what = f"importing {origin}: its weight {tensor.name or '(unnamed)'} {shown(dims)}"
    elements = math.prod(dims)
    if any(each < 0 for each in dims) or elements > MOST_ELEMENTS:
        raise InputError(f"{what} is impossible; at most {MOST_ELEMENTS} numbers are taken", hint=HINT)
    if tensor.data_type == onnx.TensorProto.STRING:
        return
    try:
        bits = _bits(tensor.data_type)
    except (KeyError, TypeError) as error:
        raise InputError(f"{what} is of an unknown type {tensor.data_type}", hint=HINT) from error
    needed = -(-elements * bits // 8)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        name, available = _external(tensor, directory, what)
        if available < needed:
            raise InputError(
                f"{what} needs {needed} bytes, {name} has {available} for it: the file is cut", hint=HINT
            )
        external[name] = ""
    elif tensor.HasField("raw_data") and len(tensor.raw_data) != needed:
        raise InputError(f"{what} needs {needed} bytes and has {len(tensor.raw_data)}", hint=HINT)
    elif not tensor.HasField("raw_data"):
        stored = max(len(getattr(tensor, name)) for name in _FIELDS)
        if stored == 0 < elements:
            raise InputError(f"{what} has no numbers", hint=HINT)


_FIELDS = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")


def _bits(data_type: int) -> int:
    import onnx

    name = onnx.TensorProto.DataType.Name(data_type)
    if "INT4" in name or "FLOAT4" in name:
        return 4
    return int(onnx.helper.tensor_dtype_to_np_dtype(data_type).itemsize) * 8


def _external(tensor: Any, directory: Path, what: str) -> tuple[str, int]:
    """Return the file that holds a weight, and the number of the weight's bytes."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    name = entries.get("location", "")
    where = PurePosixPath(name)
    if not name or where.is_absolute() or ".." in where.parts or "\0" in name:
        raise InputError(f"{what} lies in {name!r}, outside of the model's directory", hint=HINT)
    path = directory
    for part in where.parts:
        path = path / part
        if path.is_symlink():
            raise InputError(f"{what} lies behind a link, {name}", hint=f"put the file itself at {path}")
    if not path.is_file():
        raise InputError(f"{what} lies in {name}, which is missing", hint=f"put the file at {path}")
    try:
        offset = int(entries.get("offset") or 0)
        length = int(entries.get("length") or path.stat().st_size - offset)
    except ValueError as error:
        raise InputError(f"{what} has a place in {name} that is no number", hint=HINT) from error
    if offset < 0 or length < 0:
        raise InputError(f"{what} has a place in {name} before its beginning", hint=HINT)
    return name, min(length, path.stat().st_size - offset)


def _check_domains(document: Any, origin: str) -> None:
    own = {function.domain for function in document.functions}
    for node in document.graph.node:
        if node.domain not in _DOMAINS | own:
            raise InputError(
                f"importing {origin}: {place(node)} is an operator of {node.domain}; no engine here has it",
                hint="export the model without operators of one's own",
            )


def _check_sizes(document: Any, origin: str) -> None:
    """Refuse tensors that are declared or inferred larger than any model's."""
    import onnx

    try:
        inferred = onnx.shape_inference.infer_shapes(document, data_prop=True)
    except Exception:  # the engine decides on graphs that the checker does not understand
        inferred = document
    for value in [*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output]:
        sizes = [int(each.dim_value) for each in value.type.tensor_type.shape.dim if each.dim_value > 0]
        if math.prod(sizes) > MOST_ELEMENTS:
            raise InputError(
                f"importing {origin}: its tensor {value.name} is {shown(sizes)}: {math.prod(sizes)} numbers, "
                f"at most {MOST_ELEMENTS} are taken",
                hint="export the model for smaller inputs",
            )
