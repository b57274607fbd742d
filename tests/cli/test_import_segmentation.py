"""Models of PaddleSeg's form, imported and answered: scores of classes, or the label map itself."""

from __future__ import annotations

import json
import re
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


def test_eval_counts_pixels_as_paddleseg(place: Path, run_cli: RunCli) -> None:
    write_segmenter(place / "seg.onnx", as_map=False)
    words = ["import", "seg.onnx", "--name", "seg", "--preprocess", "deploy.yaml", "--formats", "paddle,onnx"]
    done = run_cli([*words, "--labels", "labels.txt"], cwd=place)
    assert done.exit_code == 0, done.stderr
    true = np.zeros((32, 48), np.uint8)
    true[:16, 24:], true[16:, 24:], true[:, :12] = 1, 0, 255  # the blue part is said to be red
    Image.fromarray(true).save(place / "true.png")
    (place / "list.txt").write_text("flag.png true.png\nbroken.jpg true.png\n")
    (place / "broken.jpg").write_bytes(b"broken")
    evaluate = ["eval", "seg", "--data", ".", "--list"]
    done = run_cli([*evaluate, "list.txt", "--engine", "onnxruntime,paddle", "--json"], cwd=place)
    assert done.exit_code == 3 and "1 of 2 pictures could not be read" in done.stderr
    result = json.loads(done.stdout)
    routes = {route["engine"]: route for route in result["routes"]}
    figures = routes["paddle"]["figures"]
    assert (result["pictures"], result["unreadable"], result["classes"]) == (1, 1, ["red", "green", "blue"])
    # red: 384 of 768 pixels; green: all 384; blue: found, never true.
    assert figures["class_iou"] == [0.5, 1.0, 0.0]
    assert figures["mean_iou"] == pytest.approx(0.5) and figures["accuracy"] == pytest.approx(2 / 3)
    assert {route["mean_iou_drop"] for route in routes.values()} == {None, 0.0}
    shown = run_cli([*evaluate, "list.txt", "--html", "seg.html"], cwd=place)
    rows = re.findall(r'<th scope="row">(\w+)</th><td>([\d.]+)</td>', (place / "seg.html").read_text())
    assert rows[-3:] == [("red", "50.00"), ("green", "100.00"), ("blue", "0.00")]
    assert "mIoU" in shown.stdout and "50.00" in shown.stdout and "green" in shown.stdout

    (place / "twice.txt").write_text("flag.png true.png\nflag.png true.png\n")
    (place / "three.txt").write_text("flag.png true.png 7\n")
    (place / "empty.txt").write_text("\n")
    (place / "missing.txt").write_text("flag.png nothing.png\n")
    Image.fromarray(true[:, 1:]).save(place / "narrow.png")
    (place / "narrow.txt").write_text("flag.png narrow.png\n")
    Image.fromarray(true + 7).save(place / "classes.png")
    (place / "classes.txt").write_text("flag.png classes.png\n")
    for name, said in (
        ("twice", "a picture a second time"),
        ("three", "not a picture and its label map"),
        ("empty", "it is empty"),
        ("missing", "nothing.png: No such file"),
        ("narrow", "47x32 pixels, its picture has 48x32"),
        ("classes", "but the model has 3 classes"),
    ):
        refused = run_cli([*evaluate, f"{name}.txt"], cwd=place)
        assert refused.exit_code == 3 and said in refused.stderr, refused.stderr
