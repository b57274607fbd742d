from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.core.parity import compare
from edgekit.core.spec import Precision
from edgekit.errors import InputError, UnsupportedError
from edgekit.tasks.classification import Classification
from edgekit.tasks.detection import Detection
from edgekit.tasks.task import Asked, Shown
from tests.manifests import manifest

LABELS = ("cat", "dog", "bird")
PREPROCESS = {"steps": [{"step": "resize", "size": [64, 64]}]}
Outputs = dict[str, NDArray[np.float32]]


def detector(**rule: object) -> Detection:
    rule = {"kind": "picodet", "strides": [32, 64], "bins": 4, **rule}
    task = manifest("detection", num_classes=3, preprocess=PREPROCESS, postprocess=rule)
    return Detection(task, LABELS)


def head(*found: tuple[int, int, float, tuple[int, int, int, int]], pictures: int = 1) -> Outputs:
    """Outputs of two strides for 64x64 pixels; each find is an anchor of stride 32, class, score, sides."""
    outputs = {
        "scores_32": np.full((pictures, 4, 3), 0.01, np.float32),
        "scores_64": np.full((pictures, 1, 3), 0.01, np.float32),
        "sides_32": np.zeros((pictures, 4, 16), np.float32),
        "sides_64": np.zeros((pictures, 1, 16), np.float32),
    }
    for anchor, class_id, score, sides in found:
        outputs["scores_32"][0, anchor, class_id] = score
        logits = outputs["sides_32"][0, anchor].reshape(4, 4)
        logits[:] = -100
        logits[range(4), sides] = 100
    return outputs


DOG = (0, 1, 0.9, (0, 0, 1, 1))
CAT = (3, 0, 0.6, (1, 1, 0, 0))


def test_answers_in_the_pixels_of_the_picture() -> None:
    found = detector().answers(head(DOG, CAT), [Shown("photos/000000000139.jpg", 128, 32)], Asked())
    assert found[0].as_dict() == {
        "class_ids": [1, 0],
        "scores": [0.9, 0.6],
        "label_names": ["dog", "cat"],
        "boxes": [[8.0, 32.0, 24.0, 96.0], [8.0, 32.0, 24.0, 96.0]],
        "filename": "photos/000000000139.jpg",
    }
    assert found[0].line() == (
        "class_ids: [1, 0], scores: [0.9, 0.6], label_names: ['dog', 'cat'], "
        "boxes: [[8.0, 32.0, 24.0, 96.0], [8.0, 32.0, 24.0, 96.0]], filename: photos/000000000139.jpg"
    )


@pytest.mark.parametrize(
    "steps",
    [
        [{"step": "resize", "short": 96}, {"step": "crop", "size": [64, 64]}],
        [{"step": "resize", "within": [32, 48]}, {"step": "pad", "size": [64, 64]}],
    ],
)
def test_boxes_of_an_input_are_in_its_own_pixels(steps: list[dict[str, object]]) -> None:
    task = detector()
    prepared = manifest(
        "detection", num_classes=3, preprocess={"steps": steps},
        postprocess={"kind": "picodet", "strides": [32, 64], "bins": 4},
    )  # fmt: skip
    wanted = task.answers(head(DOG, CAT), [Shown("input 0", 64, 64)], Asked())[0].as_dict()["boxes"]
    shown = [Shown("input 0", 64, 64, is_input=True)]
    found = Detection(prepared, LABELS).answers(head(DOG, CAT), shown, Asked())
    assert found[0].as_dict()["boxes"] == wanted


def test_cocos_result_form() -> None:
    task = detector()
    for name, number in (
        ("photos/000000000139.jpg", 139),
        ("a/page.png", "a/page.png"),
        ("array 0", "array 0"),
    ):
        (answer,) = task.answers(head(DOG), [Shown(name, 128, 32)], Asked())
        assert json.loads(msgspec.json.encode(task.documents(answer))) == [
            {
                "image_id": number,
                "category_id": 1,
                "bbox": [8.0, 32.0, 16.0, 64.0],
                "score": 0.9,
                "category_name": "dog",
                "file_name": name,
            }
        ]  # fmt: skip


def test_thresholds_and_limits_of_an_answer() -> None:
    task, picture = detector(), [Shown("a", 64, 64)]

    def scores(asked: Asked, task: Detection = task) -> list[float]:
        return task.answers(head(DOG, CAT), picture, asked)[0].as_dict()["scores"]  # type: ignore[no-any-return]

    assert scores(Asked()) == [0.9, 0.6]
    assert scores(Asked(threshold=0.7)) == [0.9]
    assert len(scores(Asked(threshold=0.001))) > 2
    assert scores(Asked(top_k=1)) == [0.9]
    assert scores(Asked(), detector(answer_threshold=0.8)) == [0.9]
    assert scores(Asked(threshold=0.95)) == []


def test_a_model_that_carries_nms() -> None:
    task = Detection(manifest("detection", num_classes=3, postprocess={"kind": "boxes"}))
    rows = np.array([[2, 0.8, 1, 2, 3, 4], [0, 0.3, 0, 0, 1, 1], [1, 0.9, 5, 5, 300, 9]], np.float32)
    counts = np.array([2, 1], np.int32)
    pictures = [Shown("a", 50, 50), Shown("b", 50, 60)]
    for outputs in ({"boxes": rows, "counts": counts}, {"counts": counts, "boxes": rows}):
        first, second = task.answers(task.cut(outputs, 2), pictures, Asked())
        assert first.as_dict()["boxes"] == [[1, 2, 3, 4]] and first.as_dict()["label_names"] == []
        assert second.as_dict()["boxes"] == [[5, 5, 60, 9]]
    with pytest.raises(InputError, match=r"the outputs are float32\[3, 6\], float32\[2\], not rows"):
        task.answers({"boxes": rows, "counts": counts.astype(np.float32)}, pictures, Asked())


def test_places_of_a_batch_without_pictures_are_cut_off() -> None:
    outputs = detector().cut(head(DOG, pictures=4), 2)
    assert {name: len(values) for name, values in outputs.items()} == dict.fromkeys(head(), 2)
    assert len(detector().answers(outputs, [Shown("a", 64, 64), Shown("b", 64, 64)], Asked())) == 2


def test_rows_of_places_without_pictures_are_cut_off() -> None:
    task = Detection(manifest("detection", num_classes=3, postprocess={"kind": "boxes"}))
    outputs = {"boxes": np.zeros((9, 6), np.float32), "counts": np.array([2, 3, 4], np.int64)}
    assert {name: len(values) for name, values in task.cut(outputs, 2).items()} == {"boxes": 5, "counts": 2}
    assert detector().divides and not task.divides


def test_the_sizes_that_paddledetections_exports_take() -> None:
    inputs = detector().further_inputs([Shown("a", 128, 32), Shown("b", 64, 640)])
    assert {name: values.tolist() for name, values in inputs.items()} == {
        "im_shape": [[64, 64], [64, 64]],
        "scale_factor": [[0.5, 2], [1, pytest.approx(0.1)]],
    }
    with pytest.raises(UnsupportedError, match="a classifier of pictures takes nothing but pictures"):
        Classification(manifest()).further_inputs([])


def test_outputs_of_another_network() -> None:
    outputs = head()
    del outputs["sides_64"]
    with pytest.raises(InputError, match="2 outputs of scores and 1 of distances for 2 strides"):
        detector().answers(outputs, [Shown("a", 64, 64)], Asked())


def test_a_rule_that_is_no_detectors() -> None:
    for rule in ({"kind": "topk"}, {}, {"kind": "picodet", "strides": [0]}):
        with pytest.raises(InputError, match="its postprocess is none of detection"):
            Detection(manifest("detection", postprocess=rule))


@pytest.mark.parametrize(
    ("own", "reference", "agreeing"),
    [
        ((DOG, CAT), (DOG, CAT), [True, True]),
        ((DOG,), (DOG, CAT), [True, False]),
        ((DOG, CAT), (DOG,), [True, False]),
        (((0, 2, 0.9, (0, 0, 1, 1)),), (DOG,), [False, False]),  # another class
        (((0, 1, 0.9, (0, 0, 3, 3)),), (DOG,), [False, False]),  # another place
        (((0, 1, 0.9, (0, 0, 1, 2)),), (DOG,), [True]),  # half of it is the same
        ((), (), []),
        (((3, 0, 0.495, (1, 1, 0, 0)),), ((3, 0, 0.505, (1, 1, 0, 0)),), [True]),  # within the tolerance
        ((), ((3, 0, 0.505, (1, 1, 0, 0)),), []),
        ((), ((3, 0, 0.515, (1, 1, 0, 0)),), [False]),
    ],
)  # fmt: skip
def test_agreement_counts_boxes(own: tuple, reference: tuple, agreeing: list[bool]) -> None:  # type: ignore[type-arg]
    found = detector().agreement(head(*own), head(*reference), 0.01)
    assert found is not None and list(found.agreeing) == agreeing


def test_int8_is_judged_by_its_boxes() -> None:
    def judged(own: Outputs, reference: Outputs) -> tuple[bool, float, str | None]:
        agreement = detector().agreement(own, reference, None)
        rows = [
            np.concatenate([array[0].reshape(-1) for array in each.values()]) for each in (own, reference)
        ]
        parity = compare(
            [rows[0]], [rows[1]], precision=Precision.INT8, reference_name="onnx", agreement=agreement
        )
        return parity.passed, parity.top1_agreement, parity.reason

    assert judged(head(DOG, CAT), head(DOG, CAT)) == (True, 1, None)
    assert judged(head(DOG), head(DOG, CAT)) == (False, 0.5, "boxes agree on 1 of 2 boxes")
    assert judged(head(), head()) == (False, 1, "nothing to judge by: neither has boxes")


def test_drawing() -> None:
    task = detector()
    (answer,) = task.answers(head(DOG), [Shown("a", 640, 640)], Asked())
    pixels = np.full((640, 640, 3), 255, np.uint8)
    task.draw(pixels, answer)
    assert (pixels[160:481, 160] != 255).any(axis=1).all() and (pixels[200:440, 200:440] == 255).all()
    classifier = Classification(manifest())
    with pytest.raises(UnsupportedError, match="a classifier of pictures has none to draw"):
        classifier.draw(pixels, answer)
