"""Parameters and multiply-accumulates of a model, counted from its program or graph without running it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from edgekit._files import MEGABYTE, read_bytes
from edgekit.convert.formats.operators import framework
from edgekit.core.artifact import ArtifactKind, Manifest
from edgekit.errors import EdgekitError, InputError, ToolError

# A graph with its weights is read whole; a larger one is not worth a line of `models list`.
MOST_BYTES = 256 * MEGABYTE
_ONNX_FLOATS = (1, 10, 11, 16)  # TensorProto: float, float16, double, bfloat16


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """Size of a network.

    Attributes:
        parameters: Number of weights; statistics of batch norms are none.
        multiply_accumulates: Of the convolutions and matrix products in one inference of batch 1; None where
            a size inside of the network is free.
        file: Name of the file that was counted.
    """

    parameters: int
    multiply_accumulates: int | None
    file: str


def count_size(directory: Path, manifest: Manifest) -> Size:
    """Count a model by its Paddle program, else by its ONNX graph.

    Raises:
        InputError: It has neither, or the file is damaged or too large.
        ToolError: The package that reads the file is missing.
    """
    error: EdgekitError = InputError(f"counting {manifest.name}: it has neither a program nor a graph")
    for kind, count in ((ArtifactKind.PADDLE, _count_program), (ArtifactKind.ONNX, _count_graph)):
        artifact = manifest.artifact(kind)
        if artifact is not None:
            path = directory / artifact.main_file
            try:
                content = read_bytes(path, "the model", most_bytes=MOST_BYTES)
                parameters, macs = count(content)
                return Size(parameters=parameters, multiply_accumulates=macs, file=artifact.main_file)
            except EdgekitError as found:
                error = found
            except Exception as found:  # a damaged protobuf or graph may raise anything
                error = InputError(f"counting {path}: {type(found).__name__}: {found}")
    raise error


def _count_program(content: bytes) -> tuple[int, int | None]:
    program = framework().ProgramDesc.FromString(content)
    block = program.blocks[0]
    shapes = {each.name: tuple(each.type.dense_tensor.tensor.dims) for each in block.vars}
    held = {each.name for each in block.vars if each.persistable} - {"feed", "fetch"}
    total: int | None = 0
    for op in block.ops:
        inputs = {slot.parameter: list(slot.arguments) for slot in op.inputs}
        outputs = {slot.parameter: list(slot.arguments) for slot in op.outputs}
        if op.type.startswith(("batch_norm", "sync_batch_norm")):
            held -= {*inputs.get("Mean", ()), *inputs.get("Variance", ())}
        transposed = any(each.name in ("trans_x", "transpose_X") and each.b for each in op.attrs)
        work = _work(op.type, _shapes(inputs, shapes), _shapes(outputs, shapes), transposed)
        total = None if total is None or work is None else total + work
    return sum(math.prod(shapes[name]) for name in held if shapes[name]), total


def _shapes(
    slots: Mapping[str, Sequence[str]], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    return {slot: shapes.get(names[0], ()) for slot, names in slots.items() if names}


def _work(
    kind: str, inputs: Mapping[str, tuple[int, ...]], outputs: Mapping[str, tuple[int, ...]], transposed: bool
) -> int | None:
    """Return the multiply-accumulates of one of Paddle's operators; None where a size is free."""
    if kind in ("conv2d", "depthwise_conv2d", "conv3d"):
        return _times(inputs["Filter"][1:], outputs["Output"])
    if kind in ("conv2d_transpose", "depthwise_conv2d_transpose"):
        return _times(inputs["Filter"][1:], inputs["Input"])
    if kind in ("mul", "fc"):
        weights = inputs["Y"] if kind == "mul" else inputs["W"]
        return _times(weights[:1], outputs["Out"])
    if kind in ("matmul", "matmul_v2"):
        return _times(inputs["X"][-2:-1] if transposed else inputs["X"][-1:], outputs["Out"])
    return 0


def _times(inner: Sequence[int], outer: Sequence[int]) -> int | None:
    """Return the product of sizes for batch 1; None where another size than the batch is free."""
    sizes = [*inner, *outer[1:]]
    return None if not outer or any(size < 0 for size in sizes) else math.prod(sizes)


def _count_graph(content: bytes) -> tuple[int, int | None]:
    try:
        import onnx
    except ImportError as error:
        raise ToolError(f"reading an ONNX graph: onnx cannot be imported ({error})") from error
    model = onnx.load_model_from_string(content)
    weights = {each.name: tuple(each.dims) for each in model.graph.initializer}
    floats = {each.name for each in model.graph.initializer if each.data_type in _ONNX_FLOATS}
    del model.graph.initializer[:]  # shapes do not need the values
    for name, sizes in weights.items():
        if name in floats:
            model.graph.input.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sizes))
    inferred = onnx.shape_inference.infer_shapes(model).graph
    shapes = {**weights}
    for each in (*inferred.value_info, *inferred.input, *inferred.output):
        given = each.type.tensor_type.shape.dim
        shape = tuple(size.dim_value if size.HasField("dim_value") else -1 for size in given)
        shapes.setdefault(each.name, shape)
    total: int | None = 0
    for node in inferred.node:
        if node.op_type == "BatchNormalization":
            floats -= set(node.input[3:5])
        work: int | None = 0
        out = shapes.get(node.output[0], ()) if node.output else ()
        if node.op_type == "Conv":
            work = _times(weights.get(node.input[1], (0, -1))[1:], out)
        elif node.op_type == "ConvTranspose":
            work = _times(weights.get(node.input[1], (0, -1))[1:], shapes.get(node.input[0], ()))
        elif node.op_type == "Gemm":
            flipped = any(each.name == "transA" and each.i for each in node.attribute)
            first = shapes.get(node.input[0], ())
            work = _times(first[:1] if flipped else first[-1:], out)
        elif node.op_type == "MatMul":
            work = _times(shapes.get(node.input[0], ())[-1:], out)
        total = None if total is None or work is None else total + work
    return sum(math.prod(weights[name]) for name in floats), total
