"""PaddleDetection's configuration, and programs that are known to find boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from edgekit.convert.importing.configuration import read_configuration
from edgekit.convert.importing.detectors import Detector, recognise
from edgekit.core.artifact import TensorSpec
from edgekit.core.boxes import BoxesRule, PicoDetRule
from edgekit.core.preprocess import Interpolation, Pad, Preprocess, Resize
from edgekit.errors import InputError
from tests.convert import detection_models


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "infer_cfg.yml"
    path.write_text(text)
    return path


def test_paddledetections_configuration(tmp_path: Path) -> None:
    read = read_configuration(write(tmp_path, detection_models.PICODET))
    assert read.preprocess == Preprocess(
        steps=(Resize(size=(64, 96), interpolation=Interpolation.BICUBIC),),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )
    assert read.labels == detection_models.LABELS
    assert read.detector == Detector(
        strides=(16, 32),
        score_threshold=0.025,
        nms_threshold=0.6,
        nms_top_k=1000,
        keep_top_k=100,
        answer_threshold=0.5,
    )
    assert read.postprocess is None


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("interp: 2", "interp: 9", "Preprocess[0] Resize: interp 9"),
        ("target_size: [64, 96]", "target_size: [64, 0]", "Preprocess[0] Resize"),
        ("is_scale: true", "is_scale: 3", "Preprocess[1] NormalizeImage"),
        ("std: [1.0, 1.0, 1.0]", "std: [1.0, 0.0, 1.0]", "Preprocess"),
        ("type: Permute", "type: LetterBoxResize", "Preprocess[2] LetterBoxResize: edgekit has no such"),
        ("type: Permute", "type: Pad, size: [96, 96]", "Preprocess[2] Pad: edgekit has no such transform"),
        ("type: Resize, interp: 2, keep_ratio: false, target_size: [64, 96]", "type: Permute",
         "NormalizeImage: edgekit has no such transform for boxes, or not at this place"),
        ("arch: PicoDet", "arch: MaskRCNN\nmask: true", "arch MaskRCNN gives masks"),
        ("arch: PicoDet", "arch: JDE\ntracker: {type: JDETracker}", "arch JDE tracks"),
        ("label_list", "labels", "label_list"),
    ],
)  # fmt: skip
def test_what_edgekit_does_not_have_is_named(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in detection_models.PICODET
    with pytest.raises(InputError) as caught:
        read_configuration(write(tmp_path, detection_models.PICODET.replace(old, new)))
    assert told in caught.value.message


@pytest.mark.parametrize(
    ("old", "new", "steps"),
    [
        ("keep_ratio: false", "keep_ratio: true", ({"within": (64, 96)}, Pad(size=(96, 96)))),
        ("stride: 32", "stride: 36", ({"size": (64, 96)}, Pad(size=(72, 108)))),
        ("- {type: Norm", "- {type: Pad, size: [96, 128], fill_value: [1.0, 2.0, 3.0]}\n- {type: Norm",
         ({"size": (64, 96)}, Pad(size=(96, 128), level=(1.0, 2.0, 3.0)))),
    ],
)  # fmt: skip
def test_padded_pictures(tmp_path: Path, old: str, new: str, steps: tuple[dict[str, Any], Pad]) -> None:
    assert old in detection_models.PICODET
    read = read_configuration(write(tmp_path, detection_models.PICODET.replace(old, new)))
    resize = Resize(interpolation=Interpolation.BICUBIC, **steps[0])
    assert read.preprocess is not None and read.preprocess.steps == (resize, steps[1])


def specs(*shapes: tuple[int | None, ...], dtype: str = "float32") -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name=f"t{place}", dtype=dtype, shape=shape) for place, shape in enumerate(shapes))


PICTURE = specs((None, 3, 800, 608))
HEAD = ((None, 7600, 10), (None, 1900, 10), (None, 475, 10), (None, 130, 10))
SIDES = ((None, 7600, 32), (None, 1900, 32), (None, 475, 32), (None, 130, 32))


def test_picodets_head_is_known_by_its_shapes() -> None:
    found = recognise(PICTURE, specs(*HEAD, *SIDES), None)
    assert found is not None and found.rule == PicoDetRule(strides=(8, 16, 32, 64), bins=8)
    assert (found.num_classes, found.size) == (10, (800, 608))
    given = Detector(nms_threshold=0.3, answer_threshold=0.2, strides=(8, 16, 32, 64))
    told = recognise(PICTURE, specs(*HEAD, *SIDES), given)
    assert told is not None
    assert told.rule == PicoDetRule(strides=(8, 16, 32, 64), nms_threshold=0.3, answer_threshold=0.2)


@pytest.mark.parametrize(
    "outputs",
    [
        (*HEAD, *SIDES[:3]),  # one is missing
        (*HEAD[::-1], *SIDES[::-1]),
        (*SIDES, *HEAD),  # ten numbers are no four sides
        (*HEAD, *((*each[:2], 30) for each in SIDES)),
        (*HEAD, *SIDES[1:], (None, 129, 32)),
        ((None, 7600, 10), (None, 1900, 11), (None, 7600, 32), (None, 1900, 32)),
        ((None, 10), (None, 32)),
        (),
    ],
)
def test_other_outputs_are_no_head(outputs: tuple[tuple[int | None, ...], ...]) -> None:
    assert recognise(PICTURE, specs(*outputs), None) is None
    wrong = Detector(strides=(4, 8, 16, 32))
    assert recognise(PICTURE, specs(*HEAD, *SIDES), wrong) is None


def test_rows_are_boxes_where_a_configuration_says_so() -> None:
    rows, counts = specs((100, 6))[0], specs((1,), dtype="int32")[0]
    sizes = (*specs((None, 2)), *specs((None, 2)))
    named = [
        TensorSpec(name=name, dtype="float32", shape=spec.shape)
        for name, spec in zip(("im_shape", "scale_factor"), sizes, strict=True)
    ]
    inputs = (named[0], *PICTURE, named[1])
    found = recognise(inputs, (rows, counts), Detector(answer_threshold=0.3, nms_threshold=0.6))
    assert found is not None and found.rule == BoxesRule(answer_threshold=0.3)
    assert (found.num_classes, found.size) == (None, (800, 608))
    assert recognise(inputs, (rows, counts), None) is None
    assert recognise((*PICTURE, *sizes[:1]), (rows, counts), Detector()) is None  # an input of no known role
    assert recognise(inputs, (rows, counts, counts), Detector()) is None


def test_the_models_of_these_tests_find_cells(tmp_path: Path) -> None:
    """A red and a blue cell are found where they are, as other tests rely on."""
    pixels = detection_models.picture((0, 0, 0), (2, 5, 2))[:, :, ::-1].astype(np.float32) / 255
    image = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
    session = onnxruntime.InferenceSession(str(detection_models.with_nms(tmp_path / "nms.onnx")))
    scale = np.array([[0.5, 2]], np.float32)
    rows, count = session.run(None, {"image": image, "scale_factor": scale})
    assert count.tolist() == [2] and rows[:, 0].tolist() == [0, 2] and (rows[:, 1] > 0.99).all()
    assert rows[:, 2:].tolist() == [[0, 0, 8, 32], [40, 64, 48, 96]]
    head = onnxruntime.InferenceSession(str(detection_models.picodet(tmp_path / "raw.onnx")))
    assert [each.shape for each in head.run(None, {"image": image})] == [
        (1, 24, 3), (1, 6, 3), (1, 24, 16), (1, 6, 16)
    ]  # fmt: skip
