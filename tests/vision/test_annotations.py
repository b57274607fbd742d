from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import InputError, ToolError
from edgekit.vision.annotations import TrueBox, read_annotations
from edgekit.vision.average_precision import compare_boxes
from edgekit.vision.boxes import Boxes, empty_boxes

LABELS = ("cat", "dog", "traffic light")
# COCO's numbers have holes, and need not be in the labels' order.
CATEGORIES = [{"id": 18, "name": "dog"}, {"id": 10, "name": "traffic light"}, {"id": 17, "name": "cat"}]


def boxes(*rows: tuple[float, ...]) -> Boxes:
    values = np.array(rows, np.float32).reshape(-1, 6)
    return Boxes(classes=values[:, 0].astype(np.int64), scores=values[:, 1], corners=values[:, 2:])


def instances(**changes: Any) -> dict[str, Any]:
    return {
        "info": {"year": 2017},
        "images": [{"id": 139, "file_name": "a.jpg", "width": 90}, {"id": 7, "file_name": "b.jpg"}],
        "annotations": [
            {"id": 1, "image_id": 139, "category_id": 17, "bbox": [10, 20, 30, 40], "area": 900},
            {"id": 2, "image_id": 139, "category_id": 10, "bbox": [0.5, 0, 5, 6], "iscrowd": 1},
            {"id": 3, "image_id": 7, "category_id": 18, "bbox": [1, 1, 99, 99], "segmentation": [[1, 2]]},
        ],
        "categories": CATEGORIES,
        **changes,
    }  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def coco(data: Path, document: object) -> Path:
    path = data / "instances.json"
    path.write_text(json.dumps(document))
    return path


def test_cocos_numbers_become_the_models_classes(data: Path) -> None:
    truth = read_annotations(coco(data, instances()), data, LABELS, 3)
    assert truth.category_ids == (17, 18, 10) and truth.names == LABELS
    first, second = truth.pictures
    assert (first.path, first.image_id, second.path, second.image_id) == ("a.jpg", 139, "b.jpg", 7)
    assert first.boxes == (
        TrueBox(class_id=0, corners=(10, 20, 40, 60), area=900),
        TrueBox(class_id=2, corners=(0.5, 0, 5.5, 6), area=30, crowd=True),
    )
    assert second.boxes == (TrueBox(class_id=1, corners=(1, 1, 100, 100), area=9801),)


def test_without_labels_categories_are_classes_in_order_of_their_numbers(data: Path) -> None:
    truth = read_annotations(coco(data, instances()), data, (), 3)
    assert truth.category_ids == (10, 17, 18) and truth.names == ("traffic light", "cat", "dog")


def test_a_data_set_may_have_fewer_categories_than_the_model(data: Path) -> None:
    truth = read_annotations(coco(data, instances()), data, ("bird", *LABELS), 4)
    assert truth.category_ids == (None, 17, 18, 10)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ([], "it is not in the form of COCO's instances"),
        ({"images": []}, "it is not in the form of COCO's instances: Object missing required"),
        (instances(images=[], annotations=[]), "it has no pictures"),
        (instances(images=[{"id": 1, "file_name": "c.jpg"}], annotations=[]),
         "none of its 1 pictures lies below"),
        (instances(categories=[*CATEGORIES, {"id": 1, "name": "person"}]),
         "its category 'person' is none of the model's labels (cat, dog, traffic light)"),
        (instances(categories=[*CATEGORIES, CATEGORIES[0]]), "the category 18 is there twice"),
        (instances(images=[{"id": 7, "file_name": "a.jpg"}] * 2), "the picture 7 is there twice"),
        (instances(images=[{"id": 7, "file_name": "a.jpg"}]), "an object is of the picture 139, which"),
        (instances(categories=CATEGORIES[:2]), "an object is of the category 17, which"),
        (instances(annotations=[{"image_id": 7, "category_id": 17, "bbox": [1, 2, 3]}]), "COCO's instances"),
        (instances(annotations=[{"image_id": 7, "category_id": 17, "bbox": [1, 2, 3, -4]}]),
         "the box [1.0, 2.0, 3.0, -4.0] of the picture 7 has a negative side"),
    ],
)  # fmt: skip
def test_annotations_of_another_data_set_or_damaged(data: Path, document: object, told: str) -> None:
    with pytest.raises(InputError) as caught:
        read_annotations(coco(data, document), data, LABELS, 3)
    assert told in caught.value.message and caught.value.hint


def test_categories_of_another_number_without_labels(data: Path) -> None:
    with pytest.raises(InputError, match="3 categories; the model has 80 classes and no labels"):
        read_annotations(coco(data, instances()), data, (), 80)


def voc(*objects: str) -> str:
    return (
        "<annotation><size><width>90</width><height>60</height></size>" + "".join(objects) + "</annotation>"
    )


def voc_object(name: str, corners: tuple[object, ...], difficult: int = 0) -> str:
    sides = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    inner = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{inner}</bndbox></object>"


def test_a_voc_list(data: Path) -> None:
    (data / "with space.jpg").write_bytes(b"")
    (data / "1.xml").write_text(
        voc(voc_object("dog", (1, 2, 30, 40.5)), voc_object("cat", (5, 5, 9, 9), difficult=1))
    )
    (data / "2.xml").write_text(voc())
    path = data / "list.txt"
    path.write_text("a.jpg 1.xml\n\nwith space.jpg\t2.xml\n")
    truth = read_annotations(path, data, LABELS, 3)
    assert [(each.path, each.image_id) for each in truth.pictures] == [("a.jpg", 0), ("with space.jpg", 1)]
    assert truth.pictures[0].boxes == (
        TrueBox(class_id=1, corners=(1, 2, 30, 40.5), area=29 * 38.5),
        TrueBox(class_id=0, corners=(5, 5, 9, 9), area=16, difficult=True),
    )
    assert truth.pictures[1].boxes == ()


@pytest.mark.parametrize(
    ("line", "annotation", "told"),
    [
        ("a.jpg 3", "", "line 1: 'a.jpg 3' is not a picture and its annotation"),
        ("a.jpg 9.xml", "", "9.xml: No such file or directory"),
        ("a.jpg 1.xml", "<annotation>", "it is damaged: no element found"),
        (
            "a.jpg 1.xml",
            voc(voc_object("horse", (1, 2, 3, 4))),
            "its category 'horse' is none of the model's",
        ),
        ("a.jpg 1.xml", voc(voc_object("dog", (3, 2, 1, 4))), "the box [3.0, 2.0, 1.0, 4.0] ends before"),
        ("a.jpg 1.xml", voc(voc_object("dog", ("nan", 2, 1, 4))), "the box [nan, 2.0, 1.0, 4.0] ends before"),
        ("a.jpg 1.xml", voc("<object><name>dog</name></object>"), "an object has no bndbox/xmin"),
        ("c.jpg 2.xml", "", "none of its 1 pictures lies below"),
        ("", "", "it has no pictures"),
    ],
)
def test_a_voc_list_that_does_not_fit(data: Path, line: str, annotation: str, told: str) -> None:
    (data / "1.xml").write_text(annotation)
    (data / "2.xml").write_text(voc())
    (data / "list.txt").write_text(line)
    with pytest.raises(InputError) as caught:
        read_annotations(data / "list.txt", data, LABELS, 3)
    assert told in caught.value.message


def test_the_score_is_that_of_pycocotools_on_its_own_files(data: Path) -> None:
    """Random truth and answers in COCO's files, read by pycocotools itself."""
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    generator = np.random.default_rng(3)
    images = [{"id": 100 - each, "file_name": "a.jpg"} for each in range(20)]
    annotations, results, found = [], [], []
    for image in images:
        rows = []
        for _ in range(generator.integers(1, 6)):
            category = CATEGORIES[generator.integers(0, 2)]  # none is a cat
            place = [*generator.integers(0, 200, 2).tolist(), *generator.integers(5, 150, 2).tolist()]
            annotations.append({"id": len(annotations) + 1, "image_id": image["id"], "bbox": place,
                                "category_id": category["id"], "area": place[2] * place[3] * 0.7,
                                "iscrowd": int(generator.random() < 0.1)})  # fmt: skip
            for _ in range(generator.integers(0, 3)):
                near = [value + int(generator.integers(-4, 4)) for value in place]
                score = float(np.float32(generator.random()))
                results.append({"image_id": image["id"], "category_id": category["id"], "bbox": near,
                                "score": score})  # fmt: skip
                x, y, width, height = near
                class_id = LABELS.index(str(category["name"]))
                rows.append((class_id, score, x, y, x + width, y + height))
        found.append(boxes(*sorted(rows, key=lambda row: -row[1])))
    path = coco(data, {"images": images, "annotations": annotations, "categories": CATEGORIES})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        run = COCOeval(truth, truth.loadRes(results), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    score = compare_boxes(read_annotations(path, data, LABELS, 3), found).figures
    expected = [run.stats[place] for place in (0, 1, 2, 3, 4, 5, 8)]
    assert 0.1 < expected[0] < 0.9
    measured = [
        score.ap,
        score.ap50,
        score.ap75,
        score.ap_small,
        score.ap_medium,
        score.ap_large,
        score.recall,
    ]
    assert measured == pytest.approx(expected)
    cat, dog, light = score.by_class
    assert cat is None and dog is not None and light is not None
    assert (dog + light) / 2 == pytest.approx(score.ap)


def test_difficult_objects_count_neither_as_found_nor_as_missed(data: Path) -> None:
    pytest.importorskip("pycocotools")
    (data / "1.xml").write_text(
        voc(voc_object("dog", (1, 2, 30, 40)), voc_object("dog", (50, 5, 90, 60), difficult=1))
    )
    (data / "list.txt").write_text("a.jpg 1.xml")
    truth = read_annotations(data / "list.txt", data, LABELS, 3)
    alone = compare_boxes(truth, [boxes((1, 0.5, 1, 2, 30, 40))]).figures
    also = compare_boxes(truth, [boxes((1, 0.9, 50, 5, 90, 60), (1, 0.5, 1, 2, 30, 40))]).figures
    assert alone.ap == also.ap == pytest.approx(1)
    answers = boxes((1, 0.9, 45, 45, 60, 60), (1, 0.8, 50, 5, 90, 60), (1, 0.5, 1, 2, 30, 40))
    figures, [matched] = compare_boxes(truth, [answers])
    assert figures.ap == pytest.approx(0.5)
    assert matched == ([False, None, True], [0.5, pytest.approx(0.8)])


def test_pictures_without_answers(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pycocotools")
    truth = read_annotations(coco(data, instances()), data, LABELS, 3)
    nothing = compare_boxes(truth, [empty_boxes(), empty_boxes()]).figures
    assert nothing.ap == 0 and nothing.ap_small == 0 and nothing.ap_medium is None
    assert nothing.by_class == (0, 0, None)  # the only light is a crowd
    # An unreadable picture is left out with its objects.
    some, matches = compare_boxes(truth, [boxes((0, 0.9, 10, 20, 40, 60)), None])
    assert matches[1] is None
    assert some.ap == pytest.approx(1) and some.ap_large is None
    assert capsys.readouterr().out == ""


def test_pycocotools_is_missing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    truth = read_annotations(coco(data, instances()), data, LABELS, 3)
    with pytest.raises(ToolError) as caught:
        compare_boxes(truth, [None, None])
    assert caught.value.exit_code == 4 and caught.value.hint == "pip install 'edgekit[detection]'"
