"""`edgekit-classify` finds the boxes and label maps of `edgekit predict`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgekit import EdgeKit, import_model
from tests.cli.test_import_answers import SEVERAL
from tests.cli.test_import_segmentation import DEPLOY, write_segmenter
from tests.conftest import REPOSITORY, RunCli
from tests.convert import detection_models
from tests.convert.onnx_models import classifier
from tests.native.test_classify import call

PAGES = [REPOSITORY / "models" / "samples" / "page_0.png", REPOSITORY / "models" / "pages" / "journal.png"]

RESIZE = {"step": "resize", "short": None, "size": None, "interpolation": "bilinear", "backend": "opencv"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the detectors `raw` and `nms` and the segmenters `scores` and `map`."""
    place = tmp_path_factory.mktemp("tasks")
    detection_models.picodet(place / "raw.onnx")
    detection_models.with_nms(place / "nms.onnx")
    for name, as_map in (("scores", False), ("map", True)):
        write_segmenter(place / f"{name}.onnx", as_map=as_map)
        (place / f"{name}.yml").write_text(DEPLOY)
    (place / "raw.yml").write_text(detection_models.PICODET)
    (place / "nms.yml").write_text(detection_models.WITH_NMS)
    (place / "labels.txt").write_text("\n".join(detection_models.LABELS))
    for name in ("raw", "nms", "scores", "map"):
        import_model(
            place / f"{name}.onnx", name, preprocess=place / f"{name}.yml", formats=["onnx"], verify=False,
            labels=place / "labels.txt" if name in ("scores", "map") else None,
            output=place / "models" / name,
        )  # fmt: skip
    return place / "models"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pictures of coloured cells: as large as the input, enlarged, uneven, and one without a cell."""
    place = tmp_path_factory.mktemp("pictures")
    cells = [(0, 0, 0), (2, 5, 2), (3, 1, 1)]
    paths = []
    for number, size in enumerate([(96, 64), (192, 128), (150, 131), (96, 64)]):
        pixels = cv2.resize(detection_models.picture(*cells[: 3 - number]), size)
        paths.append(place / f"{number}.png")
        assert cv2.imwrite(str(paths[-1]), pixels)
    return paths


def compared(program: Path, model: Path, paths: list[Path], *options: str) -> list[dict[str, Any]]:
    """The program's answers, whose boxes, areas and scores are those of `predict`."""
    names = [str(path) for path in paths]
    done = call(program, model, *names, *options)
    assert done.returncode == 0, done.stderr
    got = [json.loads(line) for line in done.stdout.splitlines()]
    with EdgeKit(model) as kit:
        want: list[Any] = [answer for batch in kit.predict(names) for answer in batch]
    for ours, theirs in zip(got, want, strict=True):
        assert list(ours) == list(theirs)
        for key, value in theirs.items():
            if key == "boxes":
                assert len(ours[key]) == len(value)
                assert np.allclose(np.reshape(ours[key], (-1, 4)), np.reshape(value, (-1, 4)), atol=0.5)
            elif key in ("scores", "areas"):
                assert ours[key] == pytest.approx(value, abs=2e-3)
            else:
                assert ours[key] == value
    return got


@pytest.mark.parametrize("name", ["raw", "nms"])
def test_boxes_are_those_of_predict(program: Path, models: Path, pictures: list[Path], name: str) -> None:
    got = compared(program, models / name, pictures)
    assert [len(answer["boxes"]) for answer in got] == [3, 2, 1, 0]
    best = json.loads(call(program, models / name, pictures[0], "--top-k", "1").stdout)
    assert len(best["boxes"]) == 1


@pytest.mark.parametrize("name", ["raw", "nms"])
def test_boxes_of_padded_pictures_are_those_of_predict(
    program: Path, models: Path, pictures: list[Path], tmp_path: Path, name: str
) -> None:
    before = json.loads((models / name / "manifest.json").read_text())["preprocess"]
    steps = [{**RESIZE, "within": [64, 96]}, {"step": "pad", "size": [64, 96], "level": None}]
    got = compared(program, edited(models, name, tmp_path, preprocess={**before, "steps": steps}), pictures)
    assert len(got[2]["boxes"]) == 1


@pytest.mark.parametrize("name", ["scores", "map"])
def test_areas_and_label_maps_are_those_of_predict(
    program: Path, models: Path, pictures: list[Path], tmp_path: Path, name: str
) -> None:
    compared(program, models / name, pictures, "--label-maps", str(tmp_path))
    with EdgeKit(models / name) as kit:
        kit_answers = [answer for batch in kit.predict([str(path) for path in pictures]) for answer in batch]
    for path, answer in zip(pictures, kit_answers, strict=True):
        labels = cv2.imread(str(tmp_path / f"{path.stem}-labels.pgm"), cv2.IMREAD_UNCHANGED)
        assert labels.shape == (answer["height"], answer["width"])
        share = np.bincount(labels.reshape(-1), minlength=3)[answer["class_ids"]] / labels.size
        assert share == pytest.approx(answer["areas"], abs=2e-3)


def edited(models: Path, name: str, place: Path, **changes: Any) -> Path:
    document = json.loads((models / name / "manifest.json").read_text())
    document["postprocess"] |= changes.pop("postprocess", {})
    (place / "manifest.json").write_text(json.dumps(document | changes))
    for file in ("inference.onnx", "labels.txt"):
        (place / file).write_bytes((models / name / file).read_bytes())
    return place


@pytest.mark.parametrize(
    ("name", "changes", "code", "said"),
    [
        ("raw", {"postprocess": {"strides": [16]}}, 3, "4 outputs for the scores and distances of 1 strides"),
        ("raw", {"postprocess": {"strides": [8, 16]}}, 3, "instead of float32[1,96,3]"),
        ("raw", {"postprocess": {"strides": []}}, 4, "strides is empty"),
        ("raw", {"task": "tensors"}, 4, "task is tensors"),
        ("nms", {"task": "segmentation"}, 3, "neither scores [1,C,H,W] nor a label map"),
        ("scores", {"task": "detection", "postprocess": {"kind": "boxes"}}, 3, "not rows of boxes"),
        ("map", {"num_classes": 2, "labels": None}, 3, "class 2 in the answer, but the model has 2"),
    ],
)
def test_outputs_of_another_form_are_refused_by_name(
    program: Path, models: Path, pictures: list[Path], tmp_path: Path, name: str, changes: dict[str, Any],
    code: int, said: str,
) -> None:  # fmt: skip
    done = call(program, edited(models, name, tmp_path, **changes), pictures[0])
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert said in done.stderr


def test_two_pictures_of_one_name_do_not_share_a_label_map(
    program: Path, models: Path, pictures: list[Path], tmp_path: Path
) -> None:
    done = call(program, models / "map", pictures[0], pictures[0], "--label-maps", tmp_path)
    assert done.returncode == 3 and "an earlier picture has it" in done.stderr
    assert len(done.stdout.splitlines()) == 1


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with classifiers of five classes: `several` of labels, and `grey` of grey pictures."""
    place = tmp_path_factory.mktemp("classifiers")
    classifier(place / "several.onnx", width=48, end="Sigmoid")
    classifier(place / "grey.onnx", channels=1, end="Softmax")
    (place / "several.yml").write_text(SEVERAL)
    (place / "grey.toml").write_text(
        'channel_order = "grey"\nmean = [0.4, 0, 0]\nstd = [0.3, 1, 1]\n'
        '[[steps]]\nstep = "resize"\nshort = 40\n'
        '[[steps]]\nstep = "crop"\nsize = [32, 32]\n'
    )
    for name, preprocess in (("several", "several.yml"), ("grey", "grey.toml")):
        import_model(
            place / f"{name}.onnx", name, preprocess=place / preprocess, formats=["onnx"], verify=False,
            output=place / "models" / name,
        )  # fmt: skip
    return place / "models"


PADDED = {
    "steps": [
        {**RESIZE, "within": [32, 48]},
        {"step": "pad", "size": [32, 48], "level": [10.0, 100.0, 200.0]},
    ]
}
ATTRIBUTES = {
    "kind": "attributes", "top_k": None, "thresholds": [0.5, 0.4, 0.5, 0.6, 0.5], "default_class": 0,
    "attributes": {"every": [
        {"begins": "Hat: ",
         "parts": [{"classes": [0], "names": ["True"], "above": 0.5, "otherwise": "False"}]},
        {"parts": [{"classes": [1, 2, 3], "names": ["a", "b", "c"], "form": "{name} {score}"},
                   {"classes": [4, 0], "names": ["x", "y"], "every": True, "above": 0.45, "otherwise": ""}]},
    ]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("several", {}),
        ("several", {"postprocess": {"thresholds": [0.5, 0.3, 0.6, 0.5, 0.45]}}),
        ("several", {"postprocess": ATTRIBUTES}),
        ("several", {"preprocess": PADDED}),
        ("several", {"preprocess": {"steps": [
            {**RESIZE, "within": [20, 44], "interpolation": "bicubic"},
            {"step": "pad", "size": [32, 48], "level": None}]}}),
        ("grey", {}),
        ("grey", {"postprocess": {"kind": "threshold", "thresholds": [0.23], "default_class": 2}}),
        ("grey", {"postprocess": {"kind": "topk", "top_k": 2}}),
    ],
)  # fmt: skip
def test_classes_are_those_of_predict(
    program: Path, classifiers: Path, tmp_path: Path, name: str, changes: dict[str, Any]
) -> None:
    document = json.loads((classifiers / name / "manifest.json").read_text())
    for key, values in changes.items():
        document[key] |= values
    for file in (classifiers / name).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    random = np.random.default_rng(3)
    # Among them exactly half the size, with even and odd sides, and one that is unchanged.
    sizes = [(70, 50), (96, 64), (95, 64), (93, 64), (48, 32), (55, 40), (101, 71)]
    paths = [str(tmp_path / f"{width}x{height}.png") for width, height in sizes]
    for path, (width, height) in zip(paths, sizes, strict=True):
        coarse = random.integers(0, 256, (height // 4, width // 4, 3), np.uint8)
        assert cv2.imwrite(path, cv2.resize(coarse, (width, height)))
    done = call(program, tmp_path, *paths)
    assert done.returncode == 0, done.stderr
    got = [json.loads(line) for line in done.stdout.splitlines()]
    with EdgeKit(tmp_path) as kit:
        want: list[Any] = [answer for batch in kit.predict(paths) for answer in batch]
    assert len({json.dumps(answer | {"filename": ""}) for answer in got}) == len(paths)
    # OpenCV may use Intel's bicubic, whose pixels are a level apart.
    error = 3e-3 if "bicubic" in json.dumps(document["preprocess"]["steps"]) else 1e-5
    for ours, theirs in zip(got, want, strict=True):
        assert list(ours) == list(theirs)
        assert ours.pop("scores", []) == pytest.approx(theirs.pop("scores", []), abs=error)
        texts = [each.pop("attributes", []) for each in (ours, theirs)]
        words, wanted = ([word for text in every for word in text.split(" ")] for every in texts)
        for word, other in zip(words, wanted, strict=True):
            assert word == other or (float(word) == pytest.approx(float(other), abs=1e-5)
                                     and word == repr(float(word)))  # fmt: skip
        assert ours == theirs


def test_a_picture_too_large_for_its_padding_is_refused(
    program: Path, classifiers: Path, tmp_path: Path
) -> None:
    before = json.loads((classifiers / "several" / "manifest.json").read_text())["preprocess"]
    model = edited(classifiers, "several", tmp_path, preprocess=before | PADDED)
    assert cv2.imwrite(str(tmp_path / "tall.png"), np.zeros((80, 40, 3), np.uint8))
    done = call(program, model, tmp_path / "tall.png")
    assert done.returncode == 3 and "it becomes 24x48 pixels, the network takes 48x32" in done.stderr


@pytest.mark.slow
def test_regions_of_pages_are_found_to_a_pixel(program: Path, tmp_path: Path, run_cli: RunCli) -> None:
    done = run_cli(["export", "PicoDet_LCNet_x1_0_layout", "--formats", "onnx", "--no-verify"], cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    found = compared(program, tmp_path / "models" / "PicoDet_LCNet_x1_0_layout", PAGES)
    assert all(answer["boxes"] for answer in found)
