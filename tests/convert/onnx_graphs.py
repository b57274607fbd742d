"""Small ONNX graphs of any form, whole and damaged, made with onnx's own helpers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT
Tensor = tuple[str, int, Sequence[int | str | None]]


def model(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    weights: dict[str, np.ndarray[Any, Any]] | None = None,
    *,
    opset: int = 17,
    domains: Sequence[str] = (),
) -> Path:
    """Write a model without asking whether it is valid."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info(*each) for each in outputs],
        [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)
    return path


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, list(inputs), list(outputs), name=f"the_{kind}", **attributes)


def scorer(
    path: Path, *tail: onnx.NodeProto, weights: dict[str, Any] | None = None, classes: int = 5
) -> Path:
    """Conv, pooling, flatten, Gemm to `g`, then nodes of which the last gives `scores`."""
    random = np.random.default_rng(3)
    known = {
        "w": random.standard_normal((8, 3, 3, 3)).astype(np.float32),
        "fc": random.standard_normal((5, 8)).astype(np.float32),
        **(weights or {}),
    }
    nodes = [
        node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3], strides=[2, 2]),
        node("GlobalAveragePool", ["c"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "fc"], ["g"], transB=1),
        *tail,
    ]
    return model(path, nodes, [("x", FLOAT, ["N", 3, 32, 32])], [("scores", FLOAT, ["N", classes])], known)
