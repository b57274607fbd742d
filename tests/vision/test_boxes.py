from __future__ import annotations

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgekit.core.boxes import BoxesRule, DetectionRule, PicoDetRule
from edgekit.core.preprocess import Crop, Resize
from edgekit.errors import InputError, RunnerError
from edgekit.vision.boxes import Boxes, Frame, decode_picodet, match, overlaps, split_boxes, suppress

RULE = PicoDetRule(nms_threshold=0.5)
SIZE = (96, 72)
CLASSES = 3
# Anchors of 96x72: 12x9, 6x5, 3x3 and 2x2.
ANCHORS = (108, 30, 9, 4)
Floats = NDArray[np.float32]


def head(pictures: int = 1) -> tuple[list[Floats], list[Floats]]:
    """Outputs of a head that found nothing."""
    scores = [np.full((pictures, anchors, CLASSES), 0.01, np.float32) for anchors in ANCHORS]
    sides = [np.zeros((pictures, anchors, 4 * RULE.bins), np.float32) for anchors in ANCHORS]
    return scores, sides


def put(
    outputs: tuple[list[Floats], list[Floats]],
    level: int,
    anchor: int,
    class_id: int,
    score: float,
    sides: tuple[int, ...],
    picture: int = 0,
) -> None:
    """Let an anchor find a class, with its sides whole numbers of strides away."""
    outputs[0][level][picture, anchor, class_id] = score
    logits = outputs[1][level][picture, anchor].reshape(4, -1)
    logits[:] = -100
    logits[range(4), sides] = 100


def whole(size: tuple[int, int] = SIZE) -> Frame:
    return Frame.of_steps(size, [Resize(size=SIZE)])


def rows(found: Boxes) -> list[tuple[float, ...]]:
    numbers = zip(found.classes.tolist(), found.scores.tolist(), found.corners.tolist(), strict=True)
    return [(each, round(score, 4), *corners) for each, score, corners in numbers]


def test_an_anchors_sides_in_the_pixels_of_the_picture() -> None:
    """The anchor in row 2 and column 3 of stride 16 is centred at x = 56, y = 40."""
    outputs = head()
    put(outputs, 1, 2 * 5 + 3, 1, 0.75, (1, 2, 0, 3))
    assert rows(decode_picodet(*outputs, RULE, 0.4, [whole()], CLASSES)[0]) == [(1, 0.75, 40, 8, 56, 88)]
    twice = decode_picodet(*outputs, RULE, 0.4, [whole((192, 36))], CLASSES)[0]
    assert rows(twice) == [(1, 0.75, 20, 16, 28, 176)]
    padded = Frame(picture_size=(40, 36), input_size=SIZE, scale=(2, 2), offset=(8, 0))
    assert rows(decode_picodet(*outputs, RULE, 0.4, [padded], CLASSES)[0]) == [(1, 0.75, 20, 0, 28, 40)]


def test_a_distribution_over_two_bins_is_their_mean() -> None:
    outputs = head()
    put(outputs, 0, 0, 0, 0.5, (0, 0, 4, 4))
    outputs[1][0][0, 0, 2 * RULE.bins + 5] = 100
    assert rows(decode_picodet(*outputs, RULE, 0.4, [whole()], CLASSES)[0]) == [(0, 0.5, 4, 4, 40, 36)]


def test_the_best_comes_first_and_pictures_stay_apart() -> None:
    outputs = head(pictures=3)
    put(outputs, 0, 10, 2, 0.5, (1, 1, 1, 1), picture=0)
    put(outputs, 3, 3, 2, 0.9, (1, 1, 0, 0), picture=0)
    put(outputs, 2, 4, 0, 0.6, (1, 1, 1, 1), picture=1)
    first, second = decode_picodet(*outputs, RULE, 0.4, [whole(), whole()], CLASSES)
    assert [each[:2] for each in rows(first)] == [(2, 0.9), (2, 0.5)]
    assert [each[:2] for each in rows(second)] == [(0, 0.6)]


def test_nothing_found_is_an_empty_answer() -> None:
    found = decode_picodet(*head(), RULE, 0.4, [whole()], CLASSES)[0]
    assert len(found) == 0 and found.corners.shape == (0, 4)


def test_boxes_are_cut_at_the_edges_and_those_outside_dropped() -> None:
    outputs = head()
    put(outputs, 3, 0, 0, 0.9, (7, 7, 7, 7))
    put(outputs, 0, 8, 1, 0.8, (1, 1, 1, 1))
    frame = Frame(picture_size=(96, 40), input_size=SIZE, scale=(1, 1))
    assert rows(decode_picodet(*outputs, RULE, 0.4, [frame], CLASSES)[0]) == [(0, 0.9, 0, 0, 40, 96)]


def test_of_overlapping_boxes_the_best_of_each_class_stays() -> None:
    outputs = head()
    for anchor, class_id, score in ((20, 0, 0.9), (21, 0, 0.8), (20, 1, 0.7), (40, 0, 0.6)):
        put(outputs, 0, anchor, class_id, score, (2, 2, 2, 2))
    found = decode_picodet(*outputs, RULE, 0.4, [whole()], CLASSES)[0]
    assert [each[:2] for each in rows(found)] == [(0, 0.9), (1, 0.7), (0, 0.6)]


def test_limits_keep_the_best() -> None:
    outputs = head()
    for anchor in range(108):
        put(outputs, 0, anchor, anchor % 3, 0.5 + anchor / 1000, (0, 0, 1, 1))
    kept = decode_picodet(*outputs, PicoDetRule(keep_top_k=5), 0.4, [whole()], CLASSES)[0]
    assert [each[1] for each in rows(kept)] == [0.607, 0.606, 0.605, 0.604, 0.603]
    few = decode_picodet(*outputs, PicoDetRule(nms_top_k=4), 0.4, [whole()], CLASSES)[0]
    assert [each[1] for each in rows(few)] == [0.607, 0.606, 0.605, 0.604]
    outputs = head()
    for level in (0, 1):
        for anchor in range(30):
            put(outputs, level, anchor, 2, 0.9 - anchor / 1000 - level / 5000, (0, 0, 1, 1))
    within = decode_picodet(*outputs, PicoDetRule(nms_top_k=3, nms_threshold=1), 0.4, [whole()], CLASSES)[0]
    assert [each[1] for each in rows(within)] == [0.9, 0.8998, 0.899]


def test_ten_thousand_boxes() -> None:
    size = (800, 608)
    anchors = [100 * 76, 50 * 38, 25 * 19, 13 * 10]
    scores = [np.full((1, count, 10), 0.99, np.float32) for count in anchors]
    sides = [np.zeros((1, count, 32), np.float32) for count in anchors]
    found = decode_picodet(scores, sides, RULE, 0.4, [Frame.of_steps(size, [Resize(size=size)])], 10)[0]
    assert len(found) == 100 and (found.scores == np.float32(0.99)).all()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda scores, sides: (scores[:3], sides[:3]), "3 outputs of scores and 3 of distances for 4"),
        (lambda scores, sides: (scores, sides[:3]), "4 outputs of scores and 3 of distances"),
        (lambda scores, sides: (sides, scores), "the scores of stride 8 are [1, 108, 32]; 1 picture(s)"),
        (
            lambda scores, sides: (scores, [each[:, :, :28] for each in sides]),
            "the distances of stride 8 are [1, 108, 28]; 1 picture(s) of 96x72 have 108 anchors of 4 sides",
        ),
        (
            lambda scores, sides: ([each[:, :, :2] for each in scores], sides),
            "the scores of stride 8 are [1, 108, 2]; 1 picture(s) of 96x72 have 108 anchors of 3 classes",
        ),
        (lambda scores, sides: (scores[::-1], sides), "the scores of stride 8 are [1, 4, 3]"),
        (lambda scores, sides: ([each[0] for each in scores], sides), "the scores of stride 8 are [108, 3]"),
    ],
)  # fmt: skip
def test_outputs_that_do_not_fit(change, told: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError) as caught:
        decode_picodet(*change(*head()), RULE, 0.4, [whole()], CLASSES)
    assert told in caught.value.message and caught.value.hint


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers(value: float) -> None:
    outputs = head()
    outputs[0][2][0, 5, 1] = value
    with pytest.raises(RunnerError, match="the scores of stride 32 are not finite"):
        decode_picodet(*outputs, RULE, 0.4, [whole()], CLASSES)
    outputs = head()
    put(outputs, 1, 7, 0, 0.9, (1, 1, 1, 1))
    outputs[1][1][0, 7, 3] = value
    with pytest.raises(RunnerError, match="the distances of stride 16 are not finite"):
        decode_picodet(*outputs, RULE, 0.4, [whole()], CLASSES)


@settings(max_examples=60)
@given(st.integers(0, 700), st.sampled_from([0.1, 0.5, 0.9]), st.integers(0, 2**32 - 1))
def test_suppression_equals_opencvs_class_by_class(count: int, threshold: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    start = generator.integers(0, 80, (count, 2))
    corners = np.concatenate([start, start + generator.integers(1, 40, (count, 2))], axis=1)
    classes = generator.integers(0, 3, count)
    scores = -np.sort(-generator.permutation(count).astype(np.float32) / max(count, 1))
    boxes = Boxes(classes=classes, scores=scores, corners=corners.astype(np.float32))
    expected = []
    for class_id in range(3):
        own = np.flatnonzero(classes == class_id)
        if own.size:
            places = np.concatenate([start[own], corners[own, 2:] - start[own]], axis=1)
            kept = cv2.dnn.NMSBoxes(places.tolist(), (scores[own] + 1).tolist(), 0.0, threshold)
            expected += own[np.asarray(kept, int).reshape(-1)].tolist()
    # Pairs that overlap by the threshold exactly fall to either side by rounding.
    ratios = overlaps(boxes.corners, boxes.corners)
    if not (np.abs(ratios - threshold) < 1e-6).any():
        assert suppress(boxes, threshold, 10_000).tolist() == sorted(expected)
        assert suppress(boxes, threshold, 20).tolist() == sorted(expected)[:20]


def test_overlap_of_boxes_without_area_is_none() -> None:
    corners = np.array([[1, 1, 1, 5], [0, 0, 2, 2], [3, 3, 1, 1]], np.float32)
    assert overlaps(corners, corners).tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_partners_are_of_one_class_and_none_is_taken_twice() -> None:
    def boxes(*rows: tuple[float, ...]) -> Boxes:
        values = np.array(rows, np.float32).reshape(-1, 5)
        return Boxes(classes=values[:, 0].astype(np.int64), scores=values[:, 0], corners=values[:, 1:])

    first = boxes((0, 0, 0, 10, 10), (0, 0, 0, 10, 9), (1, 0, 0, 10, 10), (2, 5, 5, 9, 9))
    second = boxes((1, 0, 0, 10, 5), (0, 1, 0, 10, 10), (2, 0, 0, 2, 2))
    assert match(first, second, 0.5).tolist() == [1, -1, 0, -1]
    assert match(first, boxes(), 0.5).tolist() == [-1] * 4
    assert match(boxes(), second, 0.5).tolist() == []


def test_the_frame_of_resizes_and_crops() -> None:
    """A picture of 100x200 with short side 80, cropped to 60x60: 10 rows above, 50 columns left are lost."""
    frame = Frame.of_steps((100, 200), [Resize(short=80), Crop(size=(60, 60)), Resize(size=(30, 120))])
    assert frame == Frame(picture_size=(100, 200), input_size=(30, 120), scale=(0.4, 1.6), offset=(-5, -100))
    corners = np.array([[0, 0, 120, 30]], np.float32)
    assert frame.to_picture(corners).tolist() == [[62.5, 12.5, 137.5, 87.5]]


def own_rows(*values: tuple[float, ...]) -> Floats:
    return np.array(values, np.float32).reshape(-1, 6)


def test_rows_of_a_model_with_its_own_nms() -> None:
    values = own_rows(
        (1, 0.6, 1, 2, 3, 4),
        (0, 0.9, -5, 0, 30, 500),
        (-1, 0.99, 0, 0, 1, 1),
        (2, 0.5, 0, 0, 1, 1),
        (2, 0.7, 1, 1, 2, 2),
    )
    frames = [whole((100, 20)), whole(), whole()]
    first, second, third = split_boxes(values, np.array([4, 0, 1], np.int32), 0.5, frames, CLASSES)
    assert rows(first) == [(0, 0.9, 0, 0, 20, 100), (1, 0.6, 1, 2, 3, 4)]
    assert rows(second) == []
    assert rows(third) == [(2, 0.7, 1, 1, 2, 2)]
    alone = split_boxes(values[:1], None, 0.5, [whole()], CLASSES)
    assert [rows(each) for each in alone] == [[(1, 0.6, 1, 2, 3, 4)]]


@pytest.mark.parametrize("values", [own_rows(), own_rows((-1, -1, -1, -1, -1, -1))])
def test_nothing_found_by_a_model_with_its_own_nms(values: Floats) -> None:
    found = split_boxes(values, np.array([len(values)], np.int64), 0.5, [whole()], CLASSES)
    assert [len(each) for each in found] == [0]


@pytest.mark.parametrize(
    ("values", "counts", "error", "told"),
    [
        (np.zeros((3, 5), np.float32), [3], InputError, "the output is [3, 5], not rows"),
        (own_rows(*[(0, 1, 0, 0, 1, 1)] * 3), [2], InputError, "counts [2] and 3 rows for 2 picture(s)"),
        (own_rows(*[(0, 1, 0, 0, 1, 1)] * 3), [2, 2], InputError, "counts [2, 2] and 3 rows"),
        (own_rows(*[(0, 1, 0, 0, 1, 1)] * 3), [4, -1], InputError, "counts [4, -1] and 3 rows"),
        (own_rows((3, 1, 0, 0, 1, 1)), [1, 0], InputError, "a row has the class 3; the model has 3 labels"),
        (own_rows((0.5, 1, 0, 0, 1, 1)), [1, 0], InputError, "a row has the class 0.5"),
        (own_rows((0, np.nan, 0, 0, 1, 1)), [1, 0], RunnerError, "a row is not finite"),
    ],
)
def test_rows_that_do_not_fit(values: Floats, counts: list[int], error: type[Exception], told: str) -> None:
    with pytest.raises(error) as caught:
        split_boxes(values, np.array(counts), 0.5, [whole(), whole()], CLASSES)
    assert told in str(caught.value)


def test_rules_as_data() -> None:
    for rule in (PicoDetRule(strides=(8, 16), bins=32), BoxesRule(score_threshold=0.3)):
        assert msgspec.json.decode(msgspec.json.encode(rule), type=DetectionRule) == rule
    for wrong in ('{"kind":"picodet","strides":[]}', '{"kind":"picodet","bins":1}', '{"kind":"ssd"}',
                  '{"kind":"boxes","score_threshold":1.5}'):  # fmt: skip
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(wrong, type=DetectionRule)
