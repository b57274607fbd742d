"""Small ONNX detectors: they find cells of a grid that are red, green or blue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LABELS = ("red", "green", "blue")
STRIDES, BINS = (16, 32), 4
HEIGHT, WIDTH = 64, 96
# A PaddleDetection configuration of these models; pictures go in as 0 to 1.
CONFIGURATION = """
mode: paddle
draw_threshold: 0.5
metric: COCO
use_dynamic_shape: false
arch: {arch}
min_subgraph_size: 3
Preprocess:
- {{type: Resize, interp: 2, keep_ratio: false, target_size: [64, 96]}}
- {{type: NormalizeImage, is_scale: true, mean: [0.0, 0.0, 0.0], std: [1.0, 1.0, 1.0]}}
- {{type: Permute}}
- {{type: PadStride, stride: 32}}
label_list: [red, green, blue]
{more}
"""
PICODET = CONFIGURATION.format(
    arch="PicoDet",
    more="NMS: {name: MultiClassNMS, keep_top_k: 100, nms_threshold: 0.6, nms_top_k: 1000, "
    "score_threshold: 0.025}\nfpn_stride: [16, 32]",
)
WITH_NMS = CONFIGURATION.format(arch="PicoDet", more="")


def _cells(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], stride: int) -> tuple[str, str]:
    """Add scores [N,A,3] and logits of sides [N,A,16] of the cells of one stride; return their names.

    A cell's score is the sigmoid of how much of its colour is one channel; its sides are half a stride away.
    """
    names = []
    own = np.zeros((3, 3, stride, stride))
    for colour in range(3):
        own[colour] = -30 / stride**2
        own[colour, colour] = 30 / stride**2
    sides = np.random.default_rng(1).normal(0, 1e-4, (4 * BINS, 3, stride, stride))
    for kind, weight, bias in (
        ("scores", own, [-15.0] * 3),
        ("sides", sides, [20.0, 20.0, 0.0, 0.0] * 4),
    ):
        name = f"{kind}_{stride}"
        weights[f"{name}_w"], weights[f"{name}_b"] = weight, np.array(bias)
        weights[f"{kind}_flat"] = np.array([0, len(bias), -1], np.int64)
        nodes += [
            helper.make_node("Conv", ["image", f"{name}_w", f"{name}_b"], [f"{name}_c"],
                             kernel_shape=[stride] * 2, strides=[stride] * 2),
            helper.make_node("Reshape", [f"{name}_c", f"{kind}_flat"], [f"{name}_r"]),
            helper.make_node("Transpose", [f"{name}_r"], [f"{name}_t"], perm=[0, 2, 1]),
            helper.make_node("Sigmoid" if kind == "scores" else "Identity", [f"{name}_t"], [name]),
        ]  # fmt: skip
        names.append(name)
    return names[0], names[1]


def _write(
    path: Path,
    nodes: list[onnx.NodeProto],
    weights: dict[str, np.ndarray],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
) -> Path:
    arrays = [
        numpy_helper.from_array(
            value if value.dtype == np.int64 or name == "most" else value.astype(np.float32), name
        )
        for name, value in weights.items()
    ]
    graph = helper.make_graph(nodes, "detector", inputs, outputs, arrays)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def _value(name: str, shape: list[int | str | None], kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def picodet(path: Path, batch: int | str = "N") -> Path:
    """The raw outputs of PicoDet's head: scores of both strides, then distributions."""
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, np.ndarray] = {}
    pairs = [_cells(nodes, weights, stride) for stride in STRIDES]
    outputs = [
        _value(pair[index], [batch, HEIGHT * WIDTH // stride**2, width])
        for index, width in ((0, 3), (1, 4 * BINS))
        for stride, pair in zip(STRIDES, pairs, strict=True)
    ]
    return _write(path, nodes, weights, [_value("image", [batch, 3, HEIGHT, WIDTH])], outputs)


def with_nms(path: Path) -> Path:
    """Rows of boxes in the picture's pixels and their count, as PaddleDetection exports them, batch 1."""
    nodes: list[onnx.NodeProto] = []
    rows, columns = HEIGHT // 16, WIDTH // 16
    places = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2) * 16.0
    weights = {
        "cells": np.concatenate([places, places + 16], axis=1)[None],
        "most": np.array([50], np.int64),
        "overlap": np.array([0.6]),
        "least": np.array([0.025]),
        "class_column": np.array([1], np.int64),
        "cell_column": np.array([2], np.int64),
        "swap": np.array([1, 0, 1, 0], np.int64),
    }
    scores, _ = _cells(nodes, weights, 16)
    del nodes[4:]
    weights = {name: value for name, value in weights.items() if not name.startswith("sides")}
    nodes += [
        helper.make_node("Transpose", [scores], ["by_class"], perm=[0, 2, 1]),
        helper.make_node("NonMaxSuppression", ["cells", "by_class", "most", "overlap", "least"], ["kept"]),
        helper.make_node("Gather", ["kept", "class_column"], ["classes"], axis=1),
        helper.make_node("Cast", ["classes"], ["classes_f"], to=TensorProto.FLOAT),
        helper.make_node("GatherND", ["by_class", "kept"], ["kept_scores"]),
        helper.make_node("Unsqueeze", ["kept_scores", "class_column"], ["scores_column"]),
        helper.make_node("Gather", ["kept", "cell_column"], ["places"], axis=1),
        helper.make_node("Squeeze", ["places", "class_column"], ["flat_places"]),
        helper.make_node("Squeeze", ["cells"], ["flat_cells"]),
        helper.make_node("Gather", ["flat_cells", "flat_places"], ["corners"], axis=0),
        helper.make_node("Gather", ["scale_factor", "swap"], ["scales"], axis=1),
        helper.make_node("Div", ["corners", "scales"], ["scaled"]),
        helper.make_node("Concat", ["classes_f", "scores_column", "scaled"], ["boxes"], axis=1),
        helper.make_node("Shape", ["kept"], ["count_long"], start=0, end=1),
        helper.make_node("Cast", ["count_long"], ["bbox_num"], to=TensorProto.INT32),
    ]
    inputs = [_value("scale_factor", [1, 2]), _value("image", [1, 3, HEIGHT, WIDTH])]
    outputs = [_value("boxes", [None, 6]), _value("bbox_num", [1], TensorProto.INT32)]
    return _write(path, nodes, weights, inputs, outputs)


def picture(*cells: tuple[int, int, int], scale: int = 1) -> np.ndarray:
    """A black picture, uint8[64,96,3] BGR times `scale`, with cells (row, column, colour) of stride 16."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for row, column, colour in cells:
        pixels[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16, 2 - colour] = 255
    return pixels.repeat(scale, axis=0).repeat(scale, axis=1)
