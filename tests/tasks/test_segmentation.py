"""Answers of segmentation: areas, label maps, and how two of them agree."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from edgekit.core.spec import Precision
from edgekit.errors import InputError, UnsupportedError
from edgekit.parity.tensors import judge_outputs
from edgekit.tasks.registry import task_of
from edgekit.tasks.segmentation import Segmented
from edgekit.tasks.task import Asked, Shown
from tests.manifests import manifest

RESIZED = {"steps": [{"step": "resize", "size": [4, 4]}]}
TASK = task_of(manifest("segmentation", preprocess=RESIZED, num_classes=3), ["sky", "road", "car"])
SCORES = np.zeros((1, 3, 4, 4), np.float32)
SCORES[0, 1, 1:] = 1.0
SCORES[0, 2, 3, 3] = 2.0


def answer(values: np.ndarray, **asked: float) -> Segmented:
    (found,) = TASK.answers({"y": values}, [Shown("a\n.png", 4, 4)], Asked(**asked))
    assert isinstance(found, Segmented)
    return found


def test_areas_of_classes_the_largest_first() -> None:
    for values in (SCORES, SCORES.argmax(axis=1), SCORES.argmax(axis=1)[:, None].astype(np.int32)):
        found = answer(values)
        assert found.class_ids == (1, 0, 2) and found.areas == (0.6875, 0.25, 0.0625)
        assert found.line() == "road 68.8%, sky 25.0%, car 6.2%, filename: a\\n.png"
        assert TASK.documents(found) == [found.as_dict()] and found.as_dict()["label_names"][0] == "road"
        assert np.array_equal(found.label_map, SCORES[0].argmax(axis=0))
    assert answer(SCORES, top_k=1).class_ids == (1,)
    assert answer(SCORES, threshold=0.1).class_ids == (1, 0)


def test_a_drawing_and_the_label_map_beside_it() -> None:
    found = answer(SCORES)
    pixels = np.zeros((4, 4, 3), np.uint8)
    TASK.draw(pixels, found)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) == 3
    ((end, content),) = TASK.files(found).items()
    assert end == "-labels.png"
    with Image.open(io.BytesIO(content)) as image:
        assert np.array_equal(np.asarray(image), found.label_map)


def test_pixels_agree_within_the_tolerance() -> None:
    near = SCORES.copy()
    near[0, 2, 0, 0] = 1e-5  # class 0 and 2 of the first pixel are as good as equal
    far = SCORES.copy()
    far[0, 2, 2, :] = 3.0
    for values, tolerance, share in ((near, 1e-4, 1.0), (near, None, 15 / 16), (far, 1e-4, 12 / 16)):
        agreement = TASK.agreement({"y": values}, {"y": SCORES}, tolerance)
        assert agreement is not None and agreement.agreeing == (share,)
    maps = [each.argmax(axis=1) for each in (far, SCORES)]
    agreement = TASK.agreement({"y": maps[0]}, {"y": maps[1]}, None)
    assert agreement is not None and agreement.agreeing == (12 / 16,)


def test_few_pixels_of_label_maps_may_differ() -> None:
    """A label map does not say which pixels were nearly of another class."""
    output = [{"name": "y", "dtype": "int32", "shape": [None, 20, 60]}]
    task = task_of(manifest("segmentation", preprocess=RESIZED, num_classes=19, outputs=output))
    wanted = np.random.default_rng(0).integers(0, 19, (2, 20, 60)).astype(np.int32)
    own, worse = wanted.copy(), wanted.copy()
    own[0, 3, 4] ^= 1
    worse[:, 3, 4:6] ^= 1
    for maps, precision, passed in (
        (own, Precision.FP32, True), (worse, Precision.FP32, False), (worse, Precision.FP16, True),
    ):  # fmt: skip
        outputs, truth = ([[each[None]] for each in both] for both in (maps, wanted))
        parity = judge_outputs(task, outputs, truth, precision, "dygraph")
        assert parity.passed is passed and parity.judged_by == "pixels"
    assert parity.max_relative_error == 0


def test_what_is_no_segmentation_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="class 3 in the answer, but the model has 3"):
        answer(np.full((1, 4, 4), 3, np.int64))
    with pytest.raises(InputError, match="2 outputs instead of one"):
        TASK.answers({"y": SCORES, "z": SCORES}, [Shown("a", 4, 4)], Asked())
    with pytest.raises(UnsupportedError, match="its preprocessing crops"):
        task_of(manifest("segmentation"))
