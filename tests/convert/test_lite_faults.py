"""Programs that opt takes and Paddle Lite computes wrongly or ends on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from edgekit.convert.from_onnx import lower
from edgekit.convert.from_onnx.program import Program
from edgekit.convert.importing.lite_faults import lite_faults, lite_remarks
from edgekit.convert.importing.program import parse
from edgekit.engines.paddle import import_core
from tests.convert.conversions import FLOAT, convert, model, node

DOUBLE = TensorProto.DOUBLE


def sampled(size: int) -> onnx.ModelProto:
    return model(
        [node("GridSample", ["x", "g"], ["y"])],
        {"x": (FLOAT, [1, 3, 4, 4]), "g": (FLOAT, [1, size, 4, 2])},
        {"y": (FLOAT, [1, 3, size, 4])},
    )


def precise() -> onnx.ModelProto:
    nodes = [
        node("Cast", ["x"], ["d"], to=DOUBLE),
        node("Exp", ["d"], ["e"]),
        node("Cast", ["e"], ["y"], to=FLOAT),
    ]
    return model(nodes, {"x": (FLOAT, [2])}, {"y": (FLOAT, [2])})


@pytest.mark.parametrize(
    ("document", "faults"),
    [
        (sampled(4), {}),
        (sampled(3), {"grid_sampler": "to another size than its input's"}),
        (precise(), {"cast": "of float64", "exp": "of float64"}),
    ],
    ids=["equal sizes", "another size", "float64"],
)
def test_faults_are_known_from_the_program(
    document: onnx.ModelProto, faults: dict[str, str], tmp_path: Path
) -> None:
    convert(document, tmp_path)
    assert lite_faults(parse(tmp_path / "net.pdmodel", "made")) == faults


@pytest.mark.parametrize(("value", "is_fault"), [(0.0, False), (2.0, True)])
def test_paddle_lite_pads_with_zeros_alone(value: float, is_fault: bool, tmp_path: Path) -> None:
    to = Program(import_core())
    x = to.input(np.dtype("float32"), (1, 2, 1, 4, 4))
    attributes = {"paddings": [1, 1, 1, 1, 0, 0], "mode": "constant", "value": value, "data_format": "NCDHW"}
    padded = lower.unary(to, "pad3d", x, **attributes)
    content, _ = to.finish([padded], ["x"], ["y"])
    (tmp_path / "net.pdmodel").write_bytes(content)
    assert bool(lite_faults(parse(tmp_path / "net.pdmodel", "made"))) is is_fault


def test_the_last_of_equal_numbers_is_remarked_on(tmp_path: Path) -> None:
    to = Program(import_core())
    x = to.input(np.dtype("float32"), (2, 3))
    found = lower.unary(to, "arg_max", x, axis=1, keepdims=False, flatten=False, dtype=3)
    content, _ = to.finish([found], ["x"], ["y"])
    (tmp_path / "net.pdmodel").write_bytes(content)
    (remark,) = lite_remarks(parse(tmp_path / "net.pdmodel", "made"))
    assert remark.startswith("arg_max: of equal numbers")
