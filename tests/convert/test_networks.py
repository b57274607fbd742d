"""Networks as PyTorch writes them, through the converter to Paddle and to `.nb` (scripts/networks.py)."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekit.convert.manifest import load_manifest
from scripts.networks import RIGHT, Case, Result, fixture_names, load_fixture, run
from scripts.paddle_networks import import_it, save
from tests.conftest import NEEDS_PADDLE, RunCli

# Attention, of whose concatenation one input is a constant; and channel shuffle.
QUICK, THOROUGH = "vit-torchscript-default-free", "shufflenet_v2-torchscript-default-free"
# The newer exporter's, with squeeze-and-excitation and hard-swish.
IMPORTED = "mobilenet_v3_small-dynamo-default-free"


# PyTorch brings opset 18 down to 17 and leaves an attribute that ReduceMean has not had before.
INVALID = tuple(
    f"{name}-dynamo-17-free"
    for name in ("convnext_tiny", "efficientnet_b0", "mobilenet_v2", "mobilenet_v3_small", "resnet18")
)


def results(cases: list[Case], scratch: Path) -> dict[str, Result]:
    pytest.importorskip("paddle", reason=NEEDS_PADDLE)
    return {case.name: result for case, result in run(cases, scratch)}


@pytest.mark.parametrize("name", [QUICK, pytest.param(THOROUGH, marks=pytest.mark.slow)])
def test_a_small_network_is_right_everywhere(tmp_path: Path, x86_nb: None, name: str) -> None:
    result = results([Case(name, str(tmp_path / name), nb=True)], tmp_path)[name]
    assert (result.paddle, result.arm, result.x86) == (RIGHT, RIGHT, RIGHT)


@pytest.mark.slow
def test_a_network_of_the_newer_exporter_is_imported(tmp_path: Path, run_cli: RunCli) -> None:
    onnx.save(load_fixture(IMPORTED), tmp_path / "net.onnx")
    result = run_cli(["import", "net.onnx", "--name", "mine"], cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    manifest = load_manifest(tmp_path / "models" / "mine")
    assert manifest.inputs[0].shape == (None, 3, 64, 64)  # its batch stayed free
    assert all(parity.passed for parity in manifest.parity.values())
    assert {"paddle", "onnx", "nb-arm"} <= manifest.artifacts.keys()


def padding(path: Path, pads: list[int], value: float) -> Path:
    """A network that only pads."""
    make, number = onnx.helper, onnx.TensorProto.FLOAT
    sizes = [size + pads[axis] + pads[axis + 4] for axis, size in enumerate((1, 3, 4, 5))]
    graph = make.make_graph(
        [make.make_node("Pad", ["x", "pads", "value"], ["y"])],
        "net",
        [make.make_tensor_value_info("x", number, [1, 3, 4, 5])],
        [make.make_tensor_value_info("y", number, sizes)],
        [
            make.make_tensor("pads", onnx.TensorProto.INT64, [8], pads),
            make.make_tensor("value", number, [], [value]),
        ],
    )
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_padding_survives_opt(tmp_path: Path, x86_nb: None) -> None:
    """opt exchanges height and width of what Paddle writes for it, and Paddle Lite pads with zeros alone."""
    cases = []
    for index, (pads, value) in enumerate(
        [
            ([0, 0, 1, 2, 0, 0, 3, 4], 0.0),
            ([0, 1, 1, 1, 0, 2, 1, 1], -2.0),
        ]
    ):
        model = padding(tmp_path / f"{index}.onnx", pads, value)
        cases.append(Case(f"padding {pads} {value}", str(tmp_path / str(index)), nb=True, model=str(model)))
    for name, result in results(cases, tmp_path).items():
        assert (result.paddle, result.x86, result.x86_error) == (RIGHT, RIGHT, 0.0), name


def test_an_addition_along_the_channels_keeps_its_axis(tmp_path: Path) -> None:
    """Before an activation oneDNN's fused operator has none: MobileNetV3 from PIR did not run."""
    make, number = onnx.helper, onnx.TensorProto.FLOAT
    numbers = np.random.default_rng(0).standard_normal(8 * 3 + 8 + 8).astype(np.float32)
    shapes = {"w": [8, 3, 1, 1], "scale": [1, 8, 1, 1], "shift": [1, 8, 1, 1]}
    ends = np.cumsum([0, *(math.prod(shape) for shape in shapes.values())])
    weights = [
        make.make_tensor(name, number, shape, numbers[start:end])
        for (name, shape), start, end in zip(shapes.items(), ends[:-1], ends[1:], strict=True)
    ]
    nodes = [
        make.make_node("Conv", ["x", "w"], ["a"]),
        make.make_node("Mul", ["a", "scale"], ["b"]),
        make.make_node("Add", ["b", "shift"], ["c"]),
        make.make_node("HardSwish", ["c"], ["y"]),
    ]
    values = [
        make.make_tensor_value_info(name, number, [1, size, 5, 6]) for name, size in (("x", 3), ("y", 8))
    ]
    graph = make.make_graph(nodes, "net", values[:1], values[1:], weights)
    model = tmp_path / "net.onnx"
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 14)], ir_version=8), model)
    result = results([Case("axis", str(tmp_path / "case"), model=str(model))], tmp_path)["axis"]
    assert result.paddle == RIGHT


@pytest.mark.slow
def test_all_networks_are_right_in_paddle(tmp_path: Path) -> None:
    names = fixture_names()
    assert len(names) > 100
    for name, result in results([Case(name, str(tmp_path / "case")) for name in names], tmp_path).items():
        if name in INVALID:
            assert "Unrecognized attribute: noop_with_empty_axes" in result.paddle, name
            assert result.paddle.startswith("refused: "), name
        else:
            assert result.paddle == RIGHT, name


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["legacy", "pir"])
@pytest.mark.parametrize("name", ["mobilenet_v3_small", "shufflenet_v2_swish"])
def test_networks_of_paddle_are_imported(name: str, kind: str, tmp_path: Path, x86_nb: None) -> None:
    outcome = import_it(save(name, kind, tmp_path), tmp_path)
    assert outcome.exit_code == 0, outcome.error
    assert [words.split()[0] for words in outcome.rungs.values()] == ["reference", *["passed"] * 3]
