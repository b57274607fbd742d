"""A model as it comes: read, checked, its functions of its own put in place."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.convert.from_onnx.node import place
from edgekit.errors import ConversionError, InputError

if TYPE_CHECKING:
    import onnx

OLDEST_OPSET = 6
_DOMAINS = ("", "ai.onnx")


def load(path: Path, origin: str) -> onnx.ModelProto:
    """Read an ONNX file with its external weights.

    Raises:
        InputError: It is no ONNX, or damaged.
    """
    import onnx

    try:
        document = onnx.load(path)
    except Exception as error:
        raise _invalid(origin, error) from error
    check(document, origin)
    return document


def check(document: onnx.ModelProto, origin: str) -> None:
    """Refuse a malformed graph; the error names the fault.

    Raises:
        InputError: A tensor is missing or defined twice, nodes depend on each other in a ring, or ONNX's
            checker rejects it.
    """
    import onnx

    if not document.graph.node and not document.graph.output:
        raise InputError(f"importing {origin}: its graph is empty", hint="export the model again")
    _check_names(document.graph, origin)
    try:
        for tensor in document.graph.initializer:
            _check_length(tensor, origin)
            onnx.checker.check_tensor(tensor)
        onnx.checker.check_model(_without_weights(document))
    except InputError:
        raise
    except Exception as error:
        raise _invalid(origin, error) from error


def _check_length(tensor: onnx.TensorProto, origin: str) -> None:
    from onnx import TensorProto, helper

    if tensor.data_type not in helper.get_all_tensor_dtypes():
        return  # the checker names it
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    wanted = math.prod(tensor.dims) * dtype.itemsize
    if tensor.data_type in (TensorProto.INT4, TensorProto.UINT4):
        wanted = -(-math.prod(tensor.dims) // 2)
    if tensor.HasField("raw_data") and len(tensor.raw_data) != wanted:
        raise InputError(
            f"importing {origin}: the weight {tensor.name!r} has {len(tensor.raw_data)} bytes for "
            f"{list(tensor.dims)} of {dtype}",
            hint="the file is damaged: export or copy it again",
        )


def _without_weights(document: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its weights as inputs: checking it whole would copy all their numbers twice."""
    import onnx

    light = onnx.ModelProto(ir_version=document.ir_version)
    light.opset_import.extend(document.opset_import)
    light.functions.extend(document.functions)
    graph, source = light.graph, document.graph
    graph.name = source.name
    graph.node.extend(source.node)
    graph.output.extend(source.output)
    for value in graph.output:
        if value.type.HasField("tensor_type"):
            # Which runtimes do not ask for either.
            value.type.tensor_type.shape.SetInParent()
    graph.sparse_initializer.extend(source.sparse_initializer)
    weights = {tensor.name: tensor for tensor in source.initializer}
    graph.input.extend(value for value in source.input if value.name not in weights)
    graph.input.extend(
        onnx.helper.make_tensor_value_info(name, tensor.data_type, tensor.dims)
        for name, tensor in weights.items()
    )
    return light


def _check_names(graph: Any, origin: str) -> None:
    hint = "python -m onnx.checker FILE, or export it again"
    known: set[str] = {""}
    weights = [tensor.name for tensor in graph.initializer]
    weights += [tensor.values.name for tensor in graph.sparse_initializer]
    for name in weights:
        if name in known:
            raise InputError(f"importing {origin}: it has two weights called {name!r}", hint=hint)
        known.add(name)
    inputs = [value.name for value in graph.input]
    for name in inputs:
        if inputs.count(name) > 1:
            raise InputError(f"importing {origin}: it has two inputs called {name!r}", hint=hint)
    known.update(inputs)
    made_by = {name: node for node in graph.node for name in node.output if name}
    for node in graph.node:
        for name in node.input:
            if name in known:
                continue
            maker = made_by.get(name)
            if maker is None:
                what = f"reads {name!r}, which nothing gives"
            else:
                what = (
                    f"reads {name!r}, which {place(maker)} gives only later: nodes in a ring or out of order"
                )
            raise InputError(f"importing {origin}: {place(node)} {what}", hint=hint)
        for name in node.output:
            if name and name in known:
                raise InputError(
                    f"importing {origin}: {place(node)} gives {name!r}, which is there already", hint=hint
                )
            known.add(name)
    for value in graph.output:
        if value.name not in known:
            raise InputError(f"importing {origin}: nothing gives its output {value.name!r}", hint=hint)


def inputs_of(document: onnx.ModelProto) -> list[Any]:
    """Inputs that are no weights."""
    weights = {tensor.name for tensor in document.graph.initializer}
    return [value for value in document.graph.input if value.name not in weights]


def opset_of(document: onnx.ModelProto, origin: str) -> int:
    """The version of ONNX's own operators. Raises ConversionError where it is none that edgekit reads."""
    import onnx

    newest = onnx.defs.onnx_opset_version()
    opset = next((int(each.version) for each in document.opset_import if each.domain in _DOMAINS), newest)
    if not OLDEST_OPSET <= opset <= newest:
        raise ConversionError(
            f"importing {origin}: it is written in opset {opset}, edgekit reads {OLDEST_OPSET} to {newest}",
            hint="export it with opset 17",
        )
    return opset


def inlined(document: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its own functions put where they are called."""
    if not document.functions:
        return document
    from onnx import inliner

    return inliner.inline_local_functions(document)


def is_own(proto: Any) -> bool:
    """Whether a node's operator is one of ONNX's own."""
    return proto.domain in _DOMAINS


def _invalid(origin: str, error: BaseException) -> InputError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = f"{type(error).__name__}: {lines[0] if lines else ''}"[:400]
    return InputError(
        f"importing {origin}: no valid ONNX: {said}", hint="python -m onnx.checker FILE, or export it again"
    )
