"""`edgekit-classify` finds the boxes and label maps of `edgekit predict`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgekit import EdgeKit, import_model
from tests.cli.test_import_segmentation import DEPLOY, write_segmenter
from tests.conftest import REPOSITORY, RunCli
from tests.convert import detection_models
from tests.native.test_classify import call

PAGES = [REPOSITORY / "models" / "samples" / "page_0.png", REPOSITORY / "models" / "pages" / "journal.png"]


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


@pytest.mark.slow
def test_regions_of_pages_are_found_to_a_pixel(program: Path, tmp_path: Path, run_cli: RunCli) -> None:
    done = run_cli(["export", "PicoDet_LCNet_x1_0_layout", "--formats", "onnx", "--no-verify"], cwd=tmp_path)
    assert done.exit_code == 0, done.stderr
    found = compared(program, tmp_path / "models" / "PicoDet_LCNet_x1_0_layout", PAGES)
    assert all(answer["boxes"] for answer in found)
