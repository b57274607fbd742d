"""Exports networks as their users do and keeps the graphs without the weights: tests/data/networks/*.onnx.gz.

    python -m venv torchenv
    torchenv/bin/pip install torch==2.15.0 torchvision==0.29.2 timm==1.0.31 onnx==1.23.2 onnxscript==0.7.2
    torchenv/bin/python scripts/make_network_fixtures.py tests/data/networks

These are the versions that made the fixtures here (on Python 3.11); `versions.json` beside them says it too.
PyTorch is no part of edgekit's environments. A fixture's name is NETWORK-EXPORTER-OPSET-BATCH: the exporter
`torchscript` or `dynamo`, the opset that was asked for, the batch `fixed` (one picture) or `free`.
Where PyTorch cannot write an opset below 18 by its newer exporter it keeps 18; then the file says so inside.

The float tensors of more than 8 elements lose their data, but keep shape and type and have `WITHOUT_DATA` as
their `doc_string`; `edgekit`'s tests fill them (tests/convert/networks.py). All other constants stay.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import importlib.metadata
import io
import json
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import onnxscript.version_converter
import timm
import torch
import torchvision
from torch import nn
from torch.onnx._internal.exporter import _registration

WITHOUT_DATA = "data left out"
KEPT_ELEMENTS = 8
CLASSES = 100
OPSETS = (11, 13, 17, 18, 21)
NEWER_EXPORTER_FROM = 18
# At all opsets; the others at the exporter's own default.
EVERY_OPSET = (
    "resnet18", "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2", "efficientnet_b0", "convnext_tiny",
    "vit",
)  # fmt: skip
OF_TORCHVISION = {
    "resnet18": "resnet18",
    "resnet50": "resnet50",
    "mobilenet_v2": "mobilenet_v2",
    "mobilenet_v3_small": "mobilenet_v3_small",
    "mobilenet_v3_large": "mobilenet_v3_large",
    "shufflenet_v2": "shufflenet_v2_x1_0",
    "efficientnet_b0": "efficientnet_b0",
    "regnet_x": "regnet_x_400mf",
    "regnet_y": "regnet_y_400mf",
    "densenet121": "densenet121",
    "squeezenet": "squeezenet1_1",
    "mnasnet": "mnasnet1_0",
    "googlenet": "googlenet",
    "convnext_tiny": "convnext_tiny",
}
OF_TIMM = {
    "timm_lcnet": "lcnet_050",
    "timm_ghostnet": "ghostnet_100",
    "timm_mobilenetv4": "mobilenetv4_conv_small_050",
    "timm_efficientvit": "efficientvit_b0",
    "timm_edgenext": "edgenext_xx_small",
    "timm_mobilevit": "mobilevit_xxs",
    "timm_repvgg": "repvgg_a0",
    "timm_resnet10t": "resnet10t",
}
SIDES = {"vgg11": 224, "timm_mobilevit": 64}
SIDE = 64


def vgg11() -> nn.Module:
    """VGG11 with a head of 256 instead of 4096: the same operators, a tenth of the memory."""
    network = torchvision.models.vgg11(num_classes=CLASSES)
    network.classifier = nn.Sequential(
        nn.Linear(512 * 7 * 7, 256), nn.ReLU(True), nn.Dropout(), nn.Linear(256, 256), nn.ReLU(True),
        nn.Dropout(), nn.Linear(256, CLASSES),
    )  # fmt: skip
    return network


def vit() -> nn.Module:
    """torchvision's VisionTransformer, tiny."""
    return torchvision.models.VisionTransformer(
        image_size=SIDE,
        patch_size=16,
        num_layers=3,
        num_heads=3,
        hidden_dim=96,
        mlp_dim=192,
        num_classes=CLASSES,
    )


def swin() -> nn.Module:
    """torchvision's SwinTransformer with two stages; the windows are shifted and padded."""
    return torchvision.models.SwinTransformer(
        patch_size=[4, 4],
        embed_dim=24,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=[7, 7],
        num_classes=CLASSES,
    )


def builders() -> dict[str, Callable[[], nn.Module]]:
    """Every network's constructor by the fixture's name."""
    of_torchvision = {
        name: functools.partial(
            torchvision.models.get_model, model, weights=None, num_classes=CLASSES,
            **({"aux_logits": False, "init_weights": False} if model == "googlenet" else {}),
        )
        for name, model in OF_TORCHVISION.items()
    }  # fmt: skip
    of_timm = {
        name: functools.partial(timm.create_model, model, num_classes=CLASSES)
        for name, model in OF_TIMM.items()
    }
    return {**of_torchvision, "vgg11": vgg11, "vit": vit, "swin": swin, **of_timm}


def strip(document: onnx.ModelProto) -> None:
    """Take out the weights' data and what the exporter tells about its own work."""
    for field in (document, document.graph, *document.functions):
        field.ClearField("metadata_props")
        field.ClearField("doc_string")
    for value in (*document.graph.value_info, *document.graph.input, *document.graph.output):
        value.ClearField("metadata_props")
        value.ClearField("doc_string")
    for node in document.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    tensors = [
        *document.graph.initializer,
        *(
            attribute.t
            for node in document.graph.node
            if node.op_type == "Constant"
            for attribute in node.attribute
            if attribute.name == "value"
        ),
    ]
    for tensor in tensors:
        tensor.ClearField("metadata_props")
        tensor.ClearField("doc_string")
        elements = functools.reduce(lambda product, size: product * size, tensor.dims, 1)
        if tensor.data_type == onnx.TensorProto.FLOAT and elements > KEPT_ELEMENTS:
            for data in ("raw_data", "float_data", "external_data", "data_location"):
                tensor.ClearField(data)
            tensor.doc_string = WITHOUT_DATA


def by_torchscript(
    network: nn.Module, picture: torch.Tensor, opset: int | None, free: bool
) -> onnx.ModelProto:
    """Return the model that `torch.onnx.export(..., dynamo=False)` writes."""
    buffer = io.BytesIO()
    axes = {"dynamic_axes": {"input": {0: "batch"}, "output": {0: "batch"}}} if free else {}
    torch.onnx.export(
        network, (picture,), buffer, dynamo=False, opset_version=opset, input_names=["input"],
        output_names=["output"], **axes,
    )  # fmt: skip
    return onnx.load_from_string(buffer.getvalue())


def captured(network: nn.Module, side: int, free: bool) -> torch.export.ExportedProgram:
    """The network's graph; `torch.onnx.export` makes it itself, here one serves all opsets."""
    # A free size must not be 1 in the example.
    picture = torch.randn(2 if free else 1, 3, side, side)
    shapes = {"dynamic_shapes": ({0: torch.export.Dim("batch")},)} if free else {}
    return torch.export.export(network, (picture,), **shapes)


def by_dynamo(program: torch.export.ExportedProgram, opset: int | None) -> onnx.ModelProto:
    """Return the model that `torch.onnx.export` writes by default."""
    written = torch.onnx.export(
        program, (), None, dynamo=True, opset_version=opset, input_names=["input"], output_names=["output"],
        verbose=False,
    )  # fmt: skip
    return written.model_proto


def lowered(document: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Opset 18 brought down as the exporter itself does it; it stays 18 where that fails."""
    model = onnxscript.ir.from_proto(document)
    onnxscript.version_converter.convert_version(model, opset, fallback=True)
    return onnxscript.ir.to_proto(model)


def plan(names: list[str]) -> Iterator[tuple[str, str, int | None, bool]]:
    """(network, exporter, opset or None for the default, free batch), the most important first."""
    for name in names:
        yield name, "torchscript", None, True
    for name in names:
        yield name, "dynamo", None, True
    for name in names:
        yield name, "torchscript", None, False
    for name in (each for each in names if each in EVERY_OPSET):
        for opset in OPSETS:
            yield name, "torchscript", opset, True
        for opset in OPSETS:
            yield name, "dynamo", opset, True
    for name in names:
        yield name, "dynamo", None, False


class Exporter:
    """Exports of one network after another; what several fixtures share is made once."""

    def __init__(self) -> None:
        self._builders = builders()
        self._programs = functools.lru_cache(maxsize=40)(self._capture)
        self._of_18 = functools.lru_cache(maxsize=2)(self._dynamo_18)

    def network(self, name: str) -> nn.Module:
        torch.manual_seed(0)
        return self._builders[name]().eval()

    def export(self, name: str, exporter: str, opset: int | None, free: bool) -> onnx.ModelProto:
        side = SIDES.get(name, SIDE)
        if exporter == "torchscript":
            return by_torchscript(self.network(name), torch.randn(1, 3, side, side), opset, free)
        if opset is not None and opset < NEWER_EXPORTER_FROM:
            return lowered(onnx.load_from_string(self._of_18(name, free)), opset)
        if opset == NEWER_EXPORTER_FROM:
            return onnx.load_from_string(self._of_18(name, free))
        return by_dynamo(self._programs(name, free), opset)

    def _capture(self, name: str, free: bool) -> torch.export.ExportedProgram:
        return captured(self.network(name), SIDES.get(name, SIDE), free)

    def _dynamo_18(self, name: str, free: bool) -> bytes:
        return by_dynamo(self._programs(name, free), NEWER_EXPORTER_FROM).SerializeToString()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--networks", default="", help="comma separated; all by default")
    parser.add_argument("--exporter", default="", help="torchscript or dynamo; both by default")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    # The exporter builds its table of operators anew for every call, which takes longer than most exports.
    make = _registration.ONNXRegistry.from_torchlib.__func__
    cached = functools.cache(lambda opset: make(_registration.ONNXRegistry, opset))
    _registration.ONNXRegistry.from_torchlib = classmethod(lambda _, opset_version=18: cached(opset_version))
    directory: Path = arguments.directory
    directory.mkdir(parents=True, exist_ok=True)
    packages = ("torch", "torchvision", "timm", "onnx", "onnxscript")
    versions = {name: importlib.metadata.version(name) for name in packages}
    (directory / "versions.json").write_text(json.dumps(versions, indent=1) + "\n")
    exporter, failed = Exporter(), []
    names = [name for name in arguments.networks.split(",") if name] or list(builders())
    for name, way, opset, free in plan(names):
        label = f"{name}-{way}-{opset or 'default'}-{'free' if free else 'fixed'}"
        target = directory / f"{label}.onnx.gz"
        if target.exists() or arguments.exporter not in ("", way):
            continue
        started = time.monotonic()
        try:
            document = exporter.export(name, way, opset, free)
        except Exception as error:
            failed.append(label)
            traceback.print_exc(limit=2)
            print(f"failed {label}: {str(error).strip().splitlines()[:1]}", flush=True)
            continue
        strip(document)
        content = document.SerializeToString(deterministic=True)
        target.write_bytes(gzip.compress(content, 9, mtime=0))
        versions_of = [each.version for each in document.opset_import if not each.domain]
        print(
            f"{label}: opset {versions_of}, {len(document.graph.node)} nodes, {target.stat().st_size} bytes, "
            f"{time.monotonic() - started:.1f} s",
            flush=True,
        )
    sys.exit(f"PyTorch did not export {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
