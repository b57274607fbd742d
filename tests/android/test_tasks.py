"""The app's boxes, label maps and classes are those of `edgekit predict`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgekit import EdgeKit, import_model
from edgekit.android.bundle import bundle
from edgekit.android.project import ASSETS, MODELS
from edgekit.convert.manifest import load_manifest, write_manifest
from edgekit.core.preprocess import Crop, Interpolation, Pad, Preprocess, Resize
from edgekit.errors import EdgekitError
from tests.android.conftest import needs_java
from tests.android.robolectric import CompiledApp
from tests.android.test_app import _check
from tests.cli.test_import_segmentation import DEPLOY, write_segmenter
from tests.convert import detection_models

ATTRIBUTES = {
    "kind": "attributes",
    "thresholds": [0.5, 0.5, 0.5],
    "attributes": {"every": [{"parts": [{"classes": [0], "names": ["Hat: True"]}]}]},
}
MODEL_NAMES = ("raw", "cropped", "nms", "scores", "map", "several", "decided")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directories of detectors, segmenters and classifiers of several forms."""
    place = tmp_path_factory.mktemp("app-tasks")
    detection_models.picodet(place / "raw.onnx")
    detection_models.with_nms(place / "nms.onnx")
    for name, as_map in (("scores", False), ("map", True)):
        write_segmenter(place / f"{name}.onnx", as_map=as_map)
        (place / f"{name}.yml").write_text(DEPLOY)
    (place / "raw.yml").write_text(detection_models.PICODET)
    (place / "nms.yml").write_text(detection_models.WITH_NMS)
    (place / "labels.txt").write_text("\n".join(detection_models.LABELS))
    write_classifier(place / "several.onnx")
    for name in ("raw", "nms", "scores", "map", "several"):
        given = place / f"{name}.yml"
        import_model(
            place / f"{name}.onnx", name, formats=["onnx"], verify=False, output=place / "models" / name,
            preprocess=given if given.exists() else None,
            labels=place / "labels.txt" if name not in ("raw", "nms") else None,
        )  # fmt: skip
    several = place / "models" / "several"
    changed(several, several, task="multilabel", output_activation="sigmoid",
            postprocess={"kind": "multilabel", "thresholds": [0.115, 0.12, 0.15]},
            preprocess=Preprocess(steps=(Resize(size=(224, 224)),)))  # fmt: skip
    changed(several, place / "models" / "decided", task="classification", output_activation="none",
            postprocess={"kind": "threshold", "thresholds": [0.3385], "default_class": 1})  # fmt: skip
    # The short side at first, so that pictures of other aspects lose what lies outside.
    steps = (Resize(short=96, interpolation=Interpolation.BILINEAR), Crop(size=(64, 96)))
    preprocess = load_manifest(place / "models" / "raw").preprocess
    changed(place / "models" / "raw", place / "models" / "cropped",
            preprocess=msgspec.structs.replace(preprocess, steps=steps))  # fmt: skip
    return place / "models"


def write_classifier(path: Path) -> None:
    """Write a network of 224x224 pictures whose three scores are sigmoids of the means of the channels."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("Sigmoid", ["flat"], ["y"]),
    ]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 224, 224])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])
    graph = helper.make_graph(nodes, "classifier", [given], [output])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def changed(source: Path, target: Path, **changes: Any) -> None:
    if source != target:
        target.mkdir()
        for path in source.iterdir():
            (target / path.name).write_bytes(path.read_bytes())
        changes["name"] = target.name
    write_manifest(target, msgspec.structs.replace(load_manifest(source), **changes))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pictures of coloured cells: enlarged, uneven, upright, and one without a cell."""
    place = tmp_path_factory.mktemp("app-pictures")
    cells = [(0, 0, 0), (2, 5, 2), (3, 1, 1)]
    paths = []
    for number, size in enumerate([(192, 128), (150, 131), (120, 160), (96, 64)]):
        pixels = cv2.resize(detection_models.picture(*cells[: 3 - number]), size)
        paths.append(place / f"{number}.png")
        assert cv2.imwrite(str(paths[-1]), pixels)
    return paths


@pytest.mark.slow
@needs_java
def test_answers_are_those_of_predict(
    test_app: CompiledApp, models: Path, pictures: list[Path], tmp_path: Path
) -> None:
    project, answers, screens = (tmp_path / name for name in ("project", "answers", "screens"))
    answers.mkdir()
    screens.mkdir()
    bundle([str(models / name) for name in MODEL_NAMES], project=project, pictures=pictures[:2])
    done = test_app.run(
        ["TasksTest"],
        assets=project / ASSETS,
        work=tmp_path,
        properties={
            "edgekit.tasks": str(pictures[0].parent),
            "edgekit.answers": str(answers),
            "edgekit.screenshots": str(screens),
        },
    )
    _check(done, 1)
    seen: dict[str, set[tuple[int, ...]]] = {}
    for name in MODEL_NAMES:
        with EdgeKit(models / name) as kit:
            wanted = [answer for batch in kit.predict([str(path) for path in pictures]) for answer in batch]
        for path, want in zip(pictures, wanted, strict=True):
            got = json.loads((answers / f"{name}-{path.stem}.json").read_text())
            _compare(f"{name} {path.name}", got, want)
            seen.setdefault(name, set()).add(tuple(got["class_ids"]))
            if "areas" in want:
                labels = np.fromfile(answers / f"{name}-{path.stem}.map", np.uint8)
                shares = np.bincount(labels, minlength=3)[want["class_ids"]] / labels.size
                assert labels.size == want["height"] * want["width"]
                assert shares == pytest.approx(want["areas"], abs=1e-3)
    assert all(len(answers) > 1 for answers in seen.values()), seen  # the pictures do divide them
    drawn = {f"{screen}_{name}" for name in MODEL_NAMES for screen in ("task", "live")}
    assert {path.stem for path in screens.glob("*.png")} == drawn


def _compare(what: str, got: dict[str, Any], want: dict[str, Any]) -> None:
    assert got["class_ids"] == want["class_ids"], what
    assert got["label_names"] == want["label_names"], what
    scores = want["areas"] if "areas" in want else want["scores"]
    assert got["scores"] == pytest.approx(scores, abs=2e-3), what
    if "boxes" in want:
        found, boxes = (np.reshape(each["boxes"], (-1, 4)) for each in (got, want))
        assert np.abs(found - boxes).max(initial=0) < 1, what


def test_the_answers_are_bundled_beside_the_samples(
    models: Path, pictures: list[Path], tmp_path: Path
) -> None:
    bundle([str(models / name) for name in ("raw", "map")], project=tmp_path / "app", pictures=pictures[:2])
    raw = json.loads((tmp_path / "app" / MODELS / "raw" / "model.json").read_text())
    sample = raw["samples"][0]
    assert raw["postprocess"]["strides"] == [16, 32]
    assert [box["class_id"] for box in sample["expected_boxes"]] == [0, 2, 1]
    # Bicubic pixels differ from CPU to CPU, so that the self-test brings the host's own.
    assert cv2.imread(str(tmp_path / "app" / MODELS / "raw" / sample["resized"]["file"])).shape == (64, 96, 3)
    maps = json.loads((tmp_path / "app" / MODELS / "map" / "model.json").read_text())
    sample = maps["samples"][0]
    assert sample["resized"] is None
    assert len(sample["expected_places"]) > 200
    assert set(sample["expected_classes"]) == {0, 1, 2}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task": "tensors"}, "nothing is known of its answers about pictures"),
        ({"output_activation": "sigmoid", "task": "classification"}, "scores end in sigmoid"),
        ({"preprocess": (Resize(size=(64, 96), interpolation=Interpolation.AREA),)}, "this model wants area"),
        ({"preprocess": (Resize(size=(64, 64)),)}, "not the float32[1,3,64,64]"),
        (
            {"preprocess": (Resize(within=(64, 96)), Pad(size=(96, 96)))},
            "keep the aspect of a picture and pad",
        ),
        ({"task": "multilabel", "postprocess": ATTRIBUTES}, "does not answer with texts of attributes"),
    ],
)
def test_what_the_app_cannot_answer_is_refused(
    models: Path, pictures: list[Path], tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    manifest = load_manifest(models / "raw")
    if "preprocess" in changes:
        changes = {"preprocess": msgspec.structs.replace(manifest.preprocess, steps=changes["preprocess"])}
    if "task" in changes:
        changes = {"postprocess": {}, **changes}
    changed(models / "raw", tmp_path / "other", **changes)
    with pytest.raises(EdgekitError) as caught:
        bundle([str(tmp_path / "other")], project=tmp_path / "app", pictures=pictures[:2])
    assert said in str(caught.value)
