"""An app's assets with good models of several kinds, and one model for every way to be broken.

A case's directory is named after it (see SwappedModelTest in the app's tests); `expected.txt` holds a part
of the message, or the number of answers that a good one shows.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import onnx

from edgekit.android.bundle import bundle
from edgekit.android.project import ASSETS, MODELS
from edgekit.convert.manifest import describe_file, load_manifest, write_manifest
from edgekit.core.preprocess import Interpolation, Preprocess, ResizeBackend

PILLOW = Preprocess(
    resize_short=236, interpolation=Interpolation.BICUBIC, resize_backend=ResizeBackend.PILLOW
)
SMALL = Preprocess(resize_short=182, crop_size=160)


def make_assets(doc_ori: Path, x0_25: Path, work: Path) -> Path:
    """The assets directory."""
    sources = [
        _variant(doc_ori, work, "good_documents"),
        _variant(x0_25, work, "good_thousand"),
        _variant(doc_ori, work, "good_pillow", preprocess=PILLOW),
        _resized(doc_ori, work, "good_small", SMALL),
    ]
    project = work / "project"
    bundle([str(source) for source in sources], project=project)
    models = project / MODELS
    for name, classes in {"documents": 4, "thousand": 5, "pillow": 4, "small": 4}.items():
        (models / f"good_{name}" / "expected.txt").write_text(f"{classes}\n")
    names = [source.name for source in sources]
    for name, (expected, damage) in {**_load_cases(models), **_read_cases()}.items():
        place = Path(shutil.copytree(models / "good_documents", models / name))
        _edit(place, lambda document, name=name: document.update(name=name))
        damage(place)
        (place / "expected.txt").write_text(f"{expected}\n")
        names.append(name)
    (models / "index.json").write_text(json.dumps({"models": names}))
    return project / ASSETS


Damage = Callable[[Path], object]
Cases = dict[str, tuple[str, Damage]]


def _load_cases(models: Path) -> Cases:
    """Broken models that only loading or testing them shows."""
    return {
        "load_damaged": ("is damaged", lambda place: _flip(place / "inference.onnx")),
        "load_missing": ("cannot be read", lambda place: (place / "inference.onnx").unlink()),
        "load_truncated": ("does not load the model", _truncate),
        "load_other_network": (
            "The network's output is",
            lambda place: _exchange(place, models / "good_thousand"),
        ),
        "load_other_input": (
            'no input "pixels"',
            lambda place: _edit(
                place, lambda document: document["artifacts"][0].update(input_names=["pixels"])
            ),
        ),
        "load_other_scores": ("self-test's outputs differ", lambda place: _edit(place, _shift_scores)),
        "load_other_mean": (
            "preprocessed values differ",
            lambda place: _edit(place, lambda document: document["preprocess"].update(mean=[0.4, 0.4, 0.4])),
        ),
        "load_damaged_sample": ("sample_0.png is damaged", lambda place: _flip(place / "sample_0.png")),
    }


def _read_cases() -> Cases:
    """Broken models that are refused at the start."""
    return {
        "read_no_json": ("cannot be read", lambda place: (place / "model.json").unlink()),
        "read_half_json": ("is not valid JSON", _halve_json),
        "read_newer_schema": ("schema version 3", _set(schema_version=3)),
        "read_no_labels": ('"labels" is missing', _set(labels=None)),
        "read_short_labels": ("3 labels for 4 classes", _shorten_labels),
        "read_damaged_labels": ("labels.txt is damaged", lambda place: _flip(place / "labels.txt")),
        "read_other_classes": ("do not fit 5 classes", _set(num_classes=5)),
        "read_other_shape": (
            "does not fit the preprocessing's 224x224",
            _set(input={"shape": [1, 3, 192, 192], **FED}),
        ),
        "read_other_layout": (
            "feeds float32 NCHW",
            _set(input={"shape": [1, 3, 224, 224], **FED, "layout": "NHWC"}),
        ),
        "read_no_artifact": ("no artifact is bundled", _set(artifacts=[])),
        "read_no_sample": ("no sample is bundled", _set(samples=[])),
        "read_other_name": ("describes another model", _set(name="somebody")),
        "read_other_steps": (
            '"step" is "turn"',
            lambda place: _edit(place, lambda document: document["preprocess"].update(steps=STEPS)),
        ),
        "read_other_task": ('"task" is "pose"', _set(task="pose")),
        "read_other_rule": ('"kind" is "vote"', _set(postprocess={"kind": "vote", **RULE})),
        "read_no_boxes": ("do not fit 4 classes of detection", _set(task="detection", postprocess=PICODET)),
        "read_outside": ("no plain file name", _set(labels={"file": "../labels.txt", "sha256": "0"})),
    }


STEPS = [{"step": "turn", "size": [224, 224]}]
RULE = {"top_k": None, "thresholds": [], "default_class": 0}
PICODET = {
    "kind": "picodet", "strides": [8, 16], "bins": 8, "nms_threshold": 0.6, "nms_top_k": 9, "keep_top_k": 9,
    "answer_threshold": 0.5,
}  # fmt: skip
FED = {"layout": "NCHW", "dtype": "float32"}


def _variant(source: Path, work: Path, name: str, **changes: Any) -> Path:
    copy = Path(shutil.copytree(source, work / name))
    write_manifest(copy, msgspec.structs.replace(load_manifest(copy), name=name, **changes))
    return copy


def _resized(source: Path, work: Path, name: str, preprocess: Preprocess) -> Path:
    """The network with another input size: it is convolutional up to its pooling."""
    copy = _variant(source, work, name, preprocess=preprocess)
    model = onnx.load(copy / "inference.onnx")
    for place in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[place].dim_value = preprocess.crop_size
    del model.graph.value_info[:]
    onnx.save(model, copy / "inference.onnx")
    manifest = load_manifest(copy)
    artifact = manifest.artifacts["onnx"]
    size = preprocess.crop_size
    inputs = (msgspec.structs.replace(artifact.inputs[0], shape=(None, 3, size, size)),)
    onnx_artifact = msgspec.structs.replace(
        artifact, files=(describe_file(copy / "inference.onnx"),), inputs=inputs
    )
    write_manifest(
        copy,
        msgspec.structs.replace(
            manifest, inputs=inputs, artifacts={**manifest.artifacts, "onnx": onnx_artifact}
        ),
    )
    return copy


def _edit(place: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = place / "model.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def _set(**values: object) -> Damage:
    return lambda place: _edit(place, lambda document: document.update(values))


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _hash_anew(place: Path) -> None:
    content = (place / "inference.onnx").read_bytes()
    facts = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    _edit(place, lambda document: document["artifacts"][0].update(facts))


def _truncate(place: Path) -> None:
    content = (place / "inference.onnx").read_bytes()
    (place / "inference.onnx").write_bytes(content[: len(content) // 2])
    _hash_anew(place)


def _exchange(place: Path, other: Path) -> None:
    """Another network under this one's description, names of tensors and all."""
    shutil.copyfile(other / "inference.onnx", place / "inference.onnx")
    _hash_anew(place)
    artifact = json.loads((other / "model.json").read_text())["artifacts"][0]
    names = {key: artifact[key] for key in ("input_names", "output_names")}
    _edit(place, lambda document: document["artifacts"][0].update(names))


def _shift_scores(document: dict[str, Any]) -> None:
    expected = document["samples"][0]["expected_outputs"][0]
    expected["values"] = [score * 0.99 for score in expected["values"]]


def _halve_json(place: Path) -> None:
    text = (place / "model.json").read_text()
    (place / "model.json").write_text(text[: len(text) // 2])


def _shorten_labels(place: Path) -> None:
    (place / "labels.txt").write_text("0\n90\n180\n")
    digest = hashlib.sha256((place / "labels.txt").read_bytes()).hexdigest()
    _edit(place, lambda document: document["labels"].update(sha256=digest))
