"""Layers of an ONNX graph for the quantiser: their nodes, outputs, and corrected biases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray

# ONNX Runtime's name of a convolution's weights with a batch norm in them begins like this.
_FUSED = "ConvBnFusion_W_"
LAYER_OPS = ("Conv", "Gemm", "MatMul", "ConvTranspose")


def layer_groups(model: onnx.ModelProto) -> dict[str, tuple[str, ...]]:
    """Return the nodes of each layer by the name of its weights: itself, and what follows up to the next.

    Nodes before the first layer belong to none.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    layer_of: dict[str, str] = {}
    groups: dict[str, list[str]] = {}
    for node in model.graph.node:
        layer: str | None
        if node.op_type in LAYER_OPS and len(node.input) > 1 and node.input[1] in constants:
            layer = node.input[1].removeprefix(_FUSED)
        else:
            layer = next((layer_of[name] for name in reversed(node.input) if name in layer_of), None)
        if layer is None:
            continue
        groups.setdefault(layer, []).append(node.name)
        layer_of.update(dict.fromkeys(node.output, layer))
    return {layer: tuple(nodes) for layer, nodes in groups.items()}


def activations(model: onnx.ModelProto) -> list[str]:
    """Names of the input and of all float tensors that nodes compute, the input first."""
    import onnx

    known = [*model.graph.value_info, *model.graph.output]
    floats = {each.name for each in known if each.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    computed = [name for node in model.graph.node for name in node.output if name in floats]
    return [model.graph.input[0].name, *computed]


def with_outputs(model: onnx.ModelProto, names: Sequence[str], path: Path) -> Path:
    """Write a model that also gives these float tensors."""
    import onnx
    from onnx import helper

    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    have = {each.name for each in (*changed.graph.output, *changed.graph.input)}
    changed.graph.output.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in names
        if name not in have
    )
    onnx.save(changed, str(path))
    return path


def open_session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def correct_biases(
    model: onnx.ModelProto, feeds: Iterator[dict[str, Any]], output: Path, *, levels: int
) -> None:
    """Write a model whose convolutions keep the means of their outputs when their weights become integers."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    corrected, probe = onnx.ModelProto(), onnx.ModelProto()
    corrected.CopyFrom(model)
    probe.CopyFrom(model)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    names = []
    for node in model.graph.node:
        if node.op_type != "Conv" or node.input[1] not in weights:
            continue
        weight = numpy_helper.to_array(weights[node.input[1]])
        error = f"{node.name}.error"
        probe.graph.initializer.append(numpy_helper.from_array(weight - _rounded(weight, levels), error))
        lost = helper.make_node("Conv", [node.input[0], error], [f"{error}.out"], name=error)
        lost.attribute.extend(node.attribute)
        mean = helper.make_node("GlobalAveragePool", [f"{error}.out"], [f"{error}.mean"])
        probe.graph.node.extend([lost, mean])
        names.append(node.name)
    session = open_session(with_outputs(probe, [f"{name}.error.mean" for name in names], output))
    sums = None
    count = 0
    for feed in feeds:
        means = [value.reshape(-1) for value in session.run([f"{name}.error.mean" for name in names], feed)]
        sums = means if sums is None else [a + b for a, b in zip(sums, means, strict=True)]
        count += 1
    shifts = dict(zip(names, [] if sums is None else [each / count for each in sums], strict=True))
    for node in corrected.graph.node:
        if node.name not in shifts:
            continue
        bias = shifts[node.name].astype(np.float32)
        if len(node.input) > 2 and node.input[2]:
            bias = bias + numpy_helper.to_array(weights[node.input[2]])
        name = f"{node.name}.bias"
        corrected.graph.initializer.append(numpy_helper.from_array(bias, name))
        del node.input[2:]
        node.input.append(name)
    onnx.save(corrected, str(output))


def _rounded(weight: NDArray[np.float32], levels: int) -> NDArray[np.float32]:
    """Weights as integers of -levels to levels with one scale an output channel represent them."""
    import numpy as np

    scale = np.abs(weight).max(axis=tuple(range(1, weight.ndim)), keepdims=True) / levels
    scale[scale == 0] = 1
    rounded: NDArray[np.float32] = (np.rint(weight / scale) * scale).astype(np.float32)
    return rounded
