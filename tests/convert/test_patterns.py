"""Sums and products of an ONNX graph that become one of Paddle's operators."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.convert.conversions import FLOAT, compare, model, node, noise


def operators(directory: Path) -> list[str]:
    from paddle.base.proto import framework_pb2

    program = framework_pb2.ProgramDesc.FromString((directory / "net.pdmodel").read_bytes())
    return [op.type for op in program.blocks[0].ops][1:-1]


def test_patterns_become_the_operators_that_opt_is_fast_with(tmp_path: Path) -> None:
    nodes = [
        node("Sigmoid", ["x"], ["s"]),
        node("Mul", ["x", "s"], ["swish"]),
        node("HardSigmoid", ["swish"], ["h"], alpha=1 / 6, beta=0.5),
        node("Mul", ["h", "swish"], ["hard"]),
        node("Add", ["hard", "three"], ["a"]),
        node("Clip", ["a", "zero", "six"], ["c"]),
        node("Mul", ["hard", "c"], ["p"]),
        node("Div", ["p", "six"], ["q"]),
        node("Softplus", ["q"], ["sp"]),
        node("Tanh", ["sp"], ["t"]),
        node("Mul", ["q", "t"], ["y"]),
    ]
    numbers = {name: np.float32(value) for name, value in (("zero", 0), ("three", 3), ("six", 6))}
    document = model(
        nodes, {"x": (FLOAT, [2, 8])}, {"y": (FLOAT, [2, 8])}, {k: np.array(v) for k, v in numbers.items()}
    )
    compare(document, tmp_path, {"x": 3 * noise(2, 8)})
    from paddle.base.proto import framework_pb2

    program = framework_pb2.ProgramDesc.FromString((tmp_path / "net.pdmodel").read_bytes())
    kinds = [op.type for op in program.blocks[0].ops]
    assert kinds == ["feed", "swish", "hard_swish", "hard_swish", "mish", "fetch"]


def erf_of(divide: str, number: float) -> list[onnx.NodeProto]:
    return [node(divide, ["x", f"c{number:.3f}"], ["d"]), node("Erf", ["d"], ["e"])]


ROOT, HALF_ROOT = math.sqrt(2), math.sqrt(0.5)
# PyTorch's, paddle2onnx's, and two others that are the same numbers.
GELUS = {
    "x times gate, halved": [
        *erf_of("Div", ROOT), node("Add", ["e", "one"], ["g"]), node("Mul", ["x", "g"], ["p"]),
        node("Mul", ["p", "half"], ["y"]),
    ],
    "half x times gate": [
        *erf_of("Mul", HALF_ROOT), node("Add", ["one", "e"], ["g"]), node("Mul", ["half", "x"], ["h"]),
        node("Mul", ["h", "g"], ["y"]),
    ],
    "x times half gate": [
        *erf_of("Div", ROOT), node("Add", ["e", "one"], ["g"]), node("Mul", ["g", "half"], ["h"]),
        node("Mul", ["x", "h"], ["y"]),
    ],
}  # fmt: skip
NUMBERS = {
    name: np.array(value, np.float32)
    for name, value in (("one", 1), ("half", 0.5), ("c1.414", ROOT), ("c0.707", HALF_ROOT))
}


@pytest.mark.parametrize("nodes", GELUS.values(), ids=GELUS)
def test_gelu_from_its_pieces(tmp_path: Path, nodes: list[onnx.NodeProto]) -> None:
    document = model(nodes, {"x": (FLOAT, [2, 3, 8])}, {"y": (FLOAT, [2, 3, 8])}, NUMBERS)
    compare(document, tmp_path, {"x": 2 * noise(2, 3, 8)})
    assert operators(tmp_path) == ["gelu"]


def test_what_only_looks_like_a_gelu_is_computed_as_it_stands(tmp_path: Path) -> None:
    nodes = [
        *erf_of("Div", ROOT), node("Add", ["e", "one"], ["g"]), node("Mul", ["z", "g"], ["p"]),
        node("Mul", ["p", "half"], ["y"]),
    ]  # fmt: skip
    document = model(nodes, {"x": (FLOAT, [2, 8]), "z": (FLOAT, [2, 8])}, {"y": (FLOAT, [2, 8])}, NUMBERS)
    compare(document, tmp_path, {"x": noise(2, 8), "z": noise(2, 8)[::-1].copy()})
    assert "gelu" not in operators(tmp_path)


def layer_norm(square: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    return [
        node("ReduceMean", ["x", "last"], ["m"]),
        node("Sub", ["x", "m"], ["c"]),
        *square,
        node("ReduceMean", ["q", "last"], ["v"]),
        node("Add", ["v", "epsilon"], ["e"]),
        node("Sqrt", ["e"], ["s"]),
        node("Div", ["c", "s"], ["n"]),
        node("Mul", ["n", "scale"], ["t"]),
    ]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "square",
    [
        [node("Pow", ["c", "two"], ["q"])],
        [node("Mul", ["c", "c"], ["q"])],
        [node("Sub", ["x", "m"], ["c2"]), node("Pow", ["c2", "two"], ["q"])],
    ],
    ids=["power", "product", "centred twice"],
)
def test_layer_norm_from_its_pieces(tmp_path: Path, square: list[onnx.NodeProto], bias: bool) -> None:
    end = node("Add", ["t", "bias"], ["y"]) if bias else node("Identity", ["t"], ["y"])
    weights = {
        "last": np.array([-1]), "epsilon": np.array(1e-6, np.float32), "two": np.array(2, np.float32),
        "scale": noise(8), "bias": noise(8)[::-1].copy(),
    }  # fmt: skip
    document = model(
        [*layer_norm(square), end], {"x": (FLOAT, [2, 3, 8])}, {"y": (FLOAT, [2, 3, 8])}, weights
    )
    compare(document, tmp_path, {"x": 5 + noise(2, 3, 8)})
    assert operators(tmp_path) == ["layer_norm"]


def test_a_layer_norm_has_a_bias(tmp_path: Path) -> None:
    """Without one oneDNN computes other numbers."""
    for inputs in (["x", "scale"], ["x", "scale", "bias"]):
        document = model(
            [node("LayerNormalization", inputs, ["y"])],
            {"x": (FLOAT, [2, 3, 8])},
            {"y": (FLOAT, [2, 3, 8])},
            {"scale": noise(8), "bias": noise(8)[::-1].copy()},
        )
        compare(document, tmp_path, {"x": 5 + noise(2, 3, 8)})
