"""ONNX graphs through the converter, compared with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.convert.from_onnx import graph
from edgekit.convert.from_onnx.convert import Converted, convert_onnx
from edgekit.engines.paddle import import_core
from scripts import conformance
from tests.conftest import NEEDS_PADDLE

# Before the converter, which would load only its core.
pytest.importorskip("paddle", reason=NEEDS_PADDLE)

FLOAT = TensorProto.FLOAT
node, info = helper.make_node, helper.make_tensor_value_info


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, Sequence[int | str]]],
    outputs: Mapping[str, tuple[int, Sequence[int | str]]],
    weights: Mapping[str, np.ndarray] | None = None,
    opset: int = 18,
) -> onnx.ModelProto:
    def values(described: Mapping[str, tuple[int, Sequence[int | str]]]) -> list[onnx.ValueInfoProto]:
        return [info(name, *each) for name, each in described.items()]

    tensors = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    made = helper.make_graph(nodes, "made", values(inputs), values(outputs), tensors)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def convert(
    document: onnx.ModelProto, directory: Path, shapes: Mapping[str, tuple[int, ...]] | None = None
) -> Converted:
    graph.check(document, "made")
    return convert_onnx(document, shapes or {}, directory / "net", "made", core=import_core())


def compare(document: onnx.ModelProto, directory: Path, feeds: dict[str, np.ndarray]) -> Converted:
    """Paddle Inference computes what ONNX Runtime does."""
    done = convert(document, directory, {name: array.shape for name, array in feeds.items()})
    wanted = onnxruntime.InferenceSession(document.SerializeToString()).run(None, feeds)
    found = conformance.infer(
        import_core(), directory / "net", dict(zip(done.inputs, feeds.values(), strict=True)), done.outputs
    )
    assert conformance.agrees(found, wanted) == ""
    return done


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)
