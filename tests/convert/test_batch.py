"""A batch that an exporter has put into shapes and constants is free again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from edgekit.convert.from_onnx.batch import with_free_batch
from edgekit.convert.importing.program import parse
from edgekit.engines.paddle import import_core
from scripts import conformance
from tests.convert.conversions import FLOAT, convert, model, node, noise

WEIGHTS = {
    "token": noise(1, 1, 8), "w": noise(8, 8)[::-1].copy(), "first": np.array([0]), "rest": np.array([1, 8]),
    "apart": np.array([3, -1, 4]), "back": np.array([3, -1, 8]), "scale": noise(4),
}  # fmt: skip


def attention() -> list[onnx.NodeProto]:
    """A token before each picture's rows, and heads beside the batch at the second place, as ViT has them."""
    return [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "first"], ["n"]),
        node("Concat", ["n", "rest"], ["wanted"], axis=0),
        node("Expand", ["token", "wanted"], ["tokens"]),
        node("Concat", ["tokens", "x"], ["all"], axis=1),
        node("Transpose", ["all"], ["turned"], perm=[1, 0, 2]),
        node("MatMul", ["turned", "w"], ["q"]),
        node("Reshape", ["q", "apart"], ["heads"]),
        node("Softmax", ["heads"], ["soft"], axis=-1),
        node("Reshape", ["soft", "back"], ["together"]),
        node("Transpose", ["together"], ["y"], perm=[1, 0, 2]),
    ]


def programs(nodes: Sequence[onnx.NodeProto], directory: Path) -> tuple[onnx.ModelProto, bool]:
    """The model, and whether its program in `directory` could be freed."""
    document = model(nodes, {"x": (FLOAT, ["N", 2, 8])}, {"y": (FLOAT, None)}, WEIGHTS)
    made = []
    for count in (3, 2):
        convert(document, directory, {"x": (count, 2, 8)})
        made.append(parse(directory / "net.pdmodel", "made"))
    is_free = with_free_batch(made[1], made[0])
    (directory / "net.pdmodel").write_bytes(made[1].SerializeToString())
    return document, is_free


@pytest.mark.parametrize("count", [1, 4])
def test_a_batch_in_shapes_and_constants_is_made_free(tmp_path: Path, count: int) -> None:
    document, is_free = programs(attention(), tmp_path)
    assert is_free
    x = noise(4, 2, 8)[:count]
    wanted = onnxruntime.InferenceSession(document.SerializeToString()).run(None, {"x": x})
    found = conformance.infer(import_core(), tmp_path / "net", {"x": x}, ["y"])
    assert conformance.agrees(found, wanted) == ""


def test_what_differs_otherwise_is_not_freed(tmp_path: Path) -> None:
    """The number of pictures is a factor here."""
    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "first"], ["n"]),
        node("Cast", ["n"], ["factor"], to=FLOAT),
        node("Mul", ["x", "factor"], ["y"]),
    ]
    assert not programs(nodes, tmp_path)[1]
