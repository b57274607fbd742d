"""From ONNX to the legacy Paddle program that opt reads, by X2Paddle; runs in the import worker."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.convert.importing.jobs import name_places
from edgekit.errors import ConversionError, InputError, ToolError

if TYPE_CHECKING:
    import onnx

# What X2Paddle 1.6.0 reads: operators of the opsets 7 to 15, and HardSwish (opset 14) not at all.
NEWEST_OPSET = 15
# These would take away the batch norms and biases whose pattern opt's own fusions look for.
_KEPT_APART = ["ConvBNFusion", "ConvMulFusion", "ConvAddFusion", "MatMulAddFusion"]


def load(path: Path, origin: str) -> onnx.ModelProto:
    """Read an ONNX file with its external weights.

    Raises:
        InputError: It is no ONNX, or ONNX's checker rejects it.
    """
    import onnx

    try:
        document = onnx.load(path)
        onnx.checker.check_model(document)
    except Exception as error:
        raise InputError(
            f"importing {origin}: no valid ONNX: {_first_line(error)}",
            hint="python -m onnx.checker FILE, or export it again",
        ) from error
    return document


def graph_inputs(document: onnx.ModelProto) -> list[Any]:
    """Inputs that are no weights."""
    weights = {tensor.name for tensor in document.graph.initializer}
    return [value for value in document.graph.input if value.name not in weights]


def prepare(document: onnx.ModelProto, shape: tuple[int, ...], scratch: Path, origin: str) -> list[str]:
    """Make a model what X2Paddle reads, in `scratch/prepared.onnx`: static, folded, of an opset it knows.

    Args:
        document: The model; it is changed.
        shape: Of its input, batch 1 first.
        scratch: An empty directory.
        origin: What messages call it.

    Returns:
        What was mended, for the manifest.

    Raises:
        ConversionError: It cannot be brought to that opset, or ONNX Runtime rejects it.
        ToolError: ONNX Runtime is not installed.
    """
    version = _opset(document)
    for dimension, size in zip(graph_inputs(document)[0].type.tensor_type.shape.dim, shape, strict=True):
        dimension.dim_value = size
    mended = []
    count = split_hard_swish(document)
    folded = _fold(document, scratch / "folded.onnx", origin)
    if count:
        mended.append(f"{count} HardSwish split into HardSigmoid and Mul")
    if version > NEWEST_OPSET:
        folded = lower_opset(folded, origin)
        mended.append(f"opset {version} converted to {NEWEST_OPSET}")
    (scratch / "prepared.onnx").write_bytes(folded.SerializeToString())
    return mended


def _opset(document: onnx.ModelProto) -> int:
    return next((int(each.version) for each in document.opset_import if each.domain in ("", "ai.onnx")), 1)


def lower_opset(document: onnx.ModelProto, origin: str) -> onnx.ModelProto:
    """The same model in the newest opset that X2Paddle reads.

    Most operators have only learnt more types since; those nodes stay as they are. For the others there is
    ONNX's converter, which knows few.

    Raises:
        ConversionError: A node cannot be said in the older opset; it is named.
    """
    import onnx

    foreign = [node for node in document.graph.node if not _fits(node, NEWEST_OPSET)]
    if foreign:
        try:
            return onnx.version_converter.convert_version(document, NEWEST_OPSET)
        except Exception as error:
            raise ConversionError(
                f"importing {origin}: opset {_opset(document)} cannot be brought down to {NEWEST_OPSET}: "
                f"{_places(foreign)}",
                hint=f"export it with opset {NEWEST_OPSET} or lower",
            ) from error
    for each in document.opset_import:
        if each.domain in ("", "ai.onnx"):
            each.version = NEWEST_OPSET
    return document


def _fits(node: Any, version: int) -> bool:
    """Whether a node's inputs and attributes exist in that version of its operator."""
    import onnx

    try:
        schema = onnx.defs.get_schema(node.op_type, version, node.domain)
    except onnx.defs.SchemaError:
        return False
    return len(node.input) <= schema.max_input and all(
        each.name in schema.attributes for each in node.attribute
    )


def split_hard_swish(document: onnx.ModelProto) -> int:
    """x * HardSigmoid(x, 1/6, 1/2) in the place of every HardSwish; returns how many there were."""
    import onnx

    nodes: list[Any] = []
    count = 0
    for node in document.graph.node:
        if node.op_type != "HardSwish" or node.domain not in ("", "ai.onnx"):
            nodes.append(node)
            continue
        gate = f"{node.output[0]}_gate"
        nodes.append(
            onnx.helper.make_node("HardSigmoid", [node.input[0]], [gate], alpha=1 / 6, beta=0.5, name=gate)
        )
        nodes.append(onnx.helper.make_node("Mul", [node.input[0], gate], list(node.output), name=node.name))
        count += 1
    del document.graph.node[:]
    document.graph.node.extend(nodes)
    return count


def _fold(document: onnx.ModelProto, target: Path, origin: str) -> onnx.ModelProto:
    """Let ONNX Runtime fold constants and shapes; X2Paddle's own inference of shapes loses its way."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ToolError(
            f"importing {origin}: onnxruntime is not installed", hint="pip install 'edgekit[onnxruntime]'"
        ) from error
    import onnx

    source = target.with_name("static.onnx")
    source.write_bytes(document.SerializeToString())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    try:
        onnxruntime.InferenceSession(
            str(source), options, providers=["CPUExecutionProvider"], disabled_optimizers=_KEPT_APART
        )
    except Exception as error:
        raise ConversionError(
            f"importing {origin}: ONNX Runtime rejects it: {_first_line(error)}",
            hint="check its input shape (--input-shape), or export it again",
        ) from error
    folded = onnx.load(target)
    used = {node.domain for node in folded.graph.node}
    kept = [each for each in folded.opset_import if each.domain in used | {""}]
    del folded.opset_import[:]
    # X2Paddle takes the first for the version of ONNX's own operators.
    folded.opset_import.extend(sorted(kept, key=lambda each: each.domain))
    return folded


def convert(prepared: Path, directory: Path, shape: tuple[int, ...], site: Path, origin: str) -> Path:
    """Run X2Paddle on a prepared model; returns the `.pdmodel` that it wrote.

    Raises:
        ConversionError: An operator is not supported (it is named with its place), or X2Paddle failed.
    """
    import onnx

    document = onnx.load(prepared)
    # Behind everything of edgekit's own: Paddle, numpy and onnx must not come from there.
    sys.path.append(str(site))
    from x2paddle.convert import onnx2paddle
    from x2paddle.op_mapper.onnx2paddle import opset15

    _refuse_unknown(document, opset15.OpSet15(_NoModel(), None), origin)
    name = graph_inputs(document)[0].name
    try:
        onnx2paddle(
            str(prepared),
            str(directory),
            input_shape_dict=str({name: list(shape)}),
            enable_onnx_checker=False,
            disable_feedback=True,
        )
    except Exception as error:
        raise ConversionError(
            f"importing {origin}: X2Paddle: {_first_line(error)}",
            hint="edgekit --verbose import … shows all of what it said; --formats onnx leaves .nb out",
        ) from error
    written = directory / "inference_model" / "model.pdmodel"
    if not written.is_file():
        raise ConversionError(
            f"importing {origin}: X2Paddle wrote no program", hint="edgekit --verbose import … shows why"
        )
    return written


class _NoModel:
    """In the place of X2Paddle's decoder, to ask its operator set what it knows."""

    graph = None
    op_set = NEWEST_OPSET


def _refuse_unknown(document: onnx.ModelProto, operators: Any, origin: str) -> None:
    known = {*operators.directly_map_ops, *operators.elementwise_ops}
    unknown = [
        node
        for node in document.graph.node
        if node.op_type not in known and not hasattr(operators, node.op_type)
    ]
    if not unknown:
        return
    counts = {node.op_type for node in unknown}
    raise ConversionError(
        f"importing {origin}: X2Paddle has no operator {', '.join(sorted(counts))}: {_places(unknown)}",
        hint="replace the operator before the export",
    )


def _places(nodes: list[Any]) -> str:
    return name_places(
        [
            f"{node.op_type} {node.name or '(unnamed)'} ({', '.join(node.input)} -> {', '.join(node.output)})"
            for node in nodes
        ]
    )


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:400]
