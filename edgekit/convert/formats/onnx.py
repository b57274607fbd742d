"""From a Paddle inference model to ONNX; runs in the export worker."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.core.artifact import Signature, TensorSpec
from edgekit.errors import PADDLE_REMEDY, ConversionError, ToolError

if TYPE_CHECKING:
    import onnx

# The lowest opset that has HardSwish whole (OpenVINO runs PPLCNet_x1_0 in 2.3 ms with it and in 4.0 ms
# with the HardSigmoid and Mul of opset 13); lowest, because old runtimes on devices read it too.
OPSET_VERSION = 14
BATCH = "batch"


def convert(model: Path, params: Path, onnx_file: Path) -> None:
    """Convert with paddle2onnx and write a checked ONNX model with a dynamic batch.

    paddle2onnx leaves every weight as a Constant node. Its own remedies are Polygraphy (its default; 0.3
    to 0.9 s) and onnxoptimizer (fails always: paddle2onnx asks for a pass that does not exist), so the
    weights become initialisers here, in 10 ms, and folding stays with the engine that loads the model.

    Raises:
        ConversionError: paddle2onnx failed, or ONNX's checker rejects its file.
        ToolError: It is not installed.
    """
    _require_paddle2onnx()
    import onnx
    import paddle2onnx

    try:
        paddle2onnx.export(
            str(model),
            str(params),
            str(onnx_file),
            opset_version=OPSET_VERSION,
            # A newer one where an operator needs it, 17 for `x[...] = y`; it aborts otherwise.
            auto_upgrade_opset=True,
            enable_onnx_checker=True,
            optimize_tool="None",
        )
    except Exception as error:
        raise ConversionError(
            f"converting {model.name} to ONNX: paddle2onnx: {type(error).__name__}: {error}",
            hint="edgekit --verbose export NAME, or leave it out with --formats paddle,nb",
        ) from error
    if not onnx_file.is_file():
        raise ConversionError(
            f"converting {model.name} to ONNX: paddle2onnx wrote no file",
            hint="edgekit --verbose export NAME, or leave it out with --formats paddle,nb",
        )
    document = onnx.load(onnx_file)
    tidy(document)
    onnx_file.write_bytes(document.SerializeToString(deterministic=True))
    check(onnx_file)


def _require_paddle2onnx() -> None:
    if importlib.util.find_spec("paddle2onnx") is None:
        raise ToolError("converting to ONNX: paddle2onnx is not installed", hint=PADDLE_REMEDY)


def known_operators(*, pir: bool = False) -> set[str]:
    """Operators that paddle2onnx has, of legacy programs (it does not list all of them) or of PIR.

    Raises:
        ToolError: It is not installed.
    """
    _require_paddle2onnx()
    from paddle2onnx import paddle2onnx_cpp2py_export as converter

    if pir:
        return {*converter.get_all_supported_operators_pir()}
    return {"feed", "fetch", "scale", *converter.get_all_supported_operators()}


def tidy(document: onnx.ModelProto) -> None:
    """Constants become initialisers, copies vanish, the batch dimension gets one name."""
    graph = document.graph
    branches = [branch for node in graph.node for branch in _branches(node)]
    outputs = {value.name for one in (graph, *branches) for value in one.output}
    renamed: dict[str, str] = {}
    kept = []
    for node in graph.node:
        if node.op_type == "Constant" and node.output[0] not in outputs and node.attribute[0].HasField("t"):
            tensor = node.attribute[0].t
            tensor.name = node.output[0]
            graph.initializer.append(tensor)
        elif node.op_type == "Identity" and node.output[0] not in outputs:
            renamed[node.output[0]] = renamed.get(node.input[0], node.input[0])
        else:
            for each in _nodes(node):
                for index, name in enumerate(each.input):
                    each.input[index] = renamed.get(name, name)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)
    used = {name for node in kept for each in _nodes(node) for name in each.input} | outputs
    unused = [tensor for tensor in graph.initializer if tensor.name not in used]
    for tensor in unused:
        graph.initializer.remove(tensor)
    for value in [*graph.input, *graph.output]:
        first = value.type.tensor_type.shape.dim[0]
        if first.HasField("dim_param"):
            first.dim_param = BATCH


def _branches(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs inside a node, e.g. both of an `If`, and those inside their nodes."""
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield graph
            for inner in graph.node:
                yield from _branches(inner)


def _nodes(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """Yield a node and the nodes of the graphs inside it, which may read tensors of the outer graph."""
    yield node
    for graph in _branches(node):
        yield from graph.node


def check(path: Path) -> None:
    """ONNX's own checker with shape inference, and ONNX Runtime's loader where it is installed.

    Raises:
        ConversionError: One of them rejects the file.
    """
    import onnx

    try:
        onnx.checker.check_model(onnx.load(path), full_check=True)
        if importlib.util.find_spec("onnxruntime") is not None:
            _load_with_onnxruntime(path)
    except Exception as error:
        raise ConversionError(
            f"checking {path.name}: {type(error).__name__}: {str(error).strip()}",
            hint="edgekit export NAME --force",
        ) from error


def _load_with_onnxruntime(path: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def read_signature(path: Path) -> Signature:
    """Inputs and outputs that an ONNX file declares."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    return (
        tuple(_tensor(value) for value in graph.input if value.name not in weights),
        tuple(_tensor(value) for value in graph.output),
    )


def _tensor(value: onnx.ValueInfoProto) -> TensorSpec:
    import onnx

    kind = value.type.tensor_type
    return TensorSpec(
        name=value.name,
        dtype=str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)),
        shape=tuple(int(size.dim_value) if size.HasField("dim_value") else None for size in kind.shape.dim),
    )
