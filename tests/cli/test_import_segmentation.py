"""Models of PaddleSeg's form, imported and answered: scores of classes, or the label map itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from tests.conftest import RunCli

DEPLOY = """
Deploy:
  input_shape: [-1, 3, -1, -1]
  model: model.pdmodel
  output_dtype: int32
  output_op: OP
  params: model.pdiparams
  transforms:
  - type: Normalize
    mean: [0.0, 0.0, 0.0]
    std: [1.0, 1.0, 1.0]
"""
LABELS = "red\ngreen\nblue\n"


def write_segmenter(path: Path, *, as_map: bool) -> None:
    """Write a network of 16x24 pictures whose class of a pixel is its strongest colour."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, [3, 3, 1, 1], np.eye(3).reshape(-1))
    nodes = [helper.make_node("Conv", ["x", "w"], ["scores"])]
    output = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 3, 16, 24])
    if as_map:
        nodes.append(helper.make_node("ArgMax", ["scores"], ["map"], axis=1, keepdims=0))
        output = helper.make_tensor_value_info("map", TensorProto.INT64, ["N", 16, 24])
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 16, 24])
    graph = helper.make_graph(nodes, "segmenter", [given], [output], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "deploy.yaml").write_text(DEPLOY)
    (tmp_path / "labels.txt").write_text(LABELS)
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:, :24, 0], pixels[:16, 24:, 1], pixels[16:, 24:, 2] = 255, 255, 255
    Image.fromarray(pixels).save(tmp_path / "flag.png")
    return tmp_path


@pytest.mark.parametrize("as_map", [False, True], ids=["scores", "map"])
def test_its_answers_are_areas_and_a_label_map(place: Path, run_cli: RunCli, as_map: bool) -> None:
    write_segmenter(place / "seg.onnx", as_map=as_map)
    words = ["import", "seg.onnx", "--name", "seg", "--preprocess", "deploy.yaml", "--formats", "paddle,onnx"]
    if as_map:
        refused = run_cli(words, cwd=place)
        assert refused.exit_code == 3 and "nothing says the number" in refused.stderr
        assert "--labels FILE" in refused.stderr
    done = run_cli([*words, "--labels", "labels.txt"], cwd=place)
    assert done.exit_code == 0, done.stderr
    assert "here they are resized to 24x16" in done.stderr
    manifest = json.loads((place / "models" / "seg" / "manifest.json").read_text())
    assert (manifest["task"], manifest["num_classes"]) == ("segmentation", 3)
    answered = run_cli(["predict", "seg", "flag.png", "--draw", "drawn"], cwd=place)
    assert answered.stdout == "red 50.0%, green 25.0%, blue 25.0%, filename: flag.png\n", answered.stderr
    with Image.open(place / "drawn" / "flag-labels.png") as image:
        labels = np.asarray(image)
    assert labels.shape == (32, 48) and labels[0, 0] == 0 and labels[0, 47] == 1 and labels[31, 47] == 2
    with Image.open(place / "drawn" / "flag.png") as image:
        assert len(np.unique(np.asarray(image).reshape(-1, 3), axis=0)) == 3
    documents = json.loads(run_cli(["predict", "seg", "flag.png", "--json"], cwd=place).stdout)
    assert documents[0]["areas"] == [0.5, 0.25, 0.25] and documents[0]["width"] == 48


def test_a_configuration_of_segmentation_beside_another_model_is_refused(
    place: Path, run_cli: RunCli
) -> None:
    write_segmenter(place / "seg.onnx", as_map=False)
    model = onnx.load(place / "seg.onnx")
    model.graph.node.append(helper.make_node("GlobalAveragePool", ["scores"], ["pooled"]))
    model.graph.node.append(helper.make_node("Flatten", ["pooled"], ["flat"]))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("flat", TensorProto.FLOAT, ["N", 3]))
    onnx.save(model, place / "other.onnx")
    words = ["import", "other.onnx", "--name", "other", "--preprocess", "deploy.yaml", "--formats", "onnx"]
    refused = run_cli(words, cwd=place)
    assert refused.exit_code == 3
    assert (
        "its configuration is of segmentation, but float32[None, 3, 16, 24], float32[None, 3]"
        in refused.stderr
    )
