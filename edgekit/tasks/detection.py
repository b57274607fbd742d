"""Boxes of objects: PicoDet's raw outputs, or the rows of a model that carries NMS."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit.core.boxes import DetectionRule, PicoDetRule
from edgekit.core.parity import Agreement
from edgekit.errors import InputError
from edgekit.tasks.task import Answer, Asked, Finding, Outputs, Shown, Task, answer_line
from edgekit.vision.boxes import Boxes, Frame, decode_picodet, match, split_boxes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.tasks.truth.evaluation import Evaluation, Truth
    from edgekit.vision.decode import Pixels

SCORE_DECIMALS, CORNER_DECIMALS = 5, 2
# Boxes of one class that overlap at least this much (IoU) are the same object.
SAME_OBJECT = 0.5
BOXES = "boxes"


class Detected(msgspec.Struct, frozen=True, kw_only=True):
    """Objects of one picture.

    Attributes:
        class_ids: Class numbers of the boxes, the best score first.
        scores: Scores of the boxes, rounded to five decimals.
        label_names: Names of the boxes' classes; empty where the model has no labels.
        boxes: Corners x0, y0, x1, y1 in pixels of the picture, rounded to two decimals.
        filename: Path of the picture as given, or `array 0`, `bytes 0`.
    """

    class_ids: tuple[int, ...]
    scores: tuple[float, ...]
    label_names: tuple[str, ...]
    boxes: tuple[tuple[float, float, float, float], ...]
    filename: str

    def as_dict(self) -> dict[str, Any]:
        """Return the answer as the Python interface yields it."""
        return {
            "class_ids": list(self.class_ids),
            "scores": list(self.scores),
            "label_names": list(self.label_names),
            "boxes": [list(corners) for corners in self.boxes],
            "filename": self.filename,
        }

    def line(self) -> str:
        """Return the answer as one printable line."""
        return answer_line(self.as_dict())


class CocoResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One box in the form of COCO's results.

    Attributes:
        image_id: The file name's number where it is one, as COCO's are, else the picture's name.
        category_id: Class number of the model.
        bbox: Left, top, width, height in pixels of the picture.
        category_name: Name of the class; absent where the model has no labels.
        file_name: Name of the picture.
    """

    image_id: int | str
    category_id: int
    bbox: tuple[float, float, float, float]
    score: float
    category_name: str | None = None
    file_name: str


class Detection(Task):
    """Boxes of the objects of a picture."""

    name = "detection"
    summary = "a detector of objects"
    draws = True
    Rule = DetectionRule  # type: ignore[assignment]
    rule: DetectionRule

    def frames(self, pictures: Sequence[Shown]) -> list[Frame]:
        """Return the places of pictures in the network's input."""
        steps = self.manifest.preprocess.geometry
        return [
            Frame.of_steps((each.height, each.width), () if each.is_input else steps) for each in pictures
        ]

    def boxes(self, outputs: Outputs, pictures: Sequence[Shown], threshold: float | None) -> list[Boxes]:
        """Return all boxes of each picture.

        Args:
            outputs: Outputs of a batch by name.
            pictures: The batch's pictures.
            threshold: Boxes have higher scores than this; None for all that an evaluation counts.

        Raises:
            InputError: The outputs do not fit the rule or the number of classes.
            RunnerError: An output is not finite.
        """
        least = self.rule.score_threshold if threshold is None else threshold
        arrays, frames = list(outputs.values()), self.frames(pictures)
        if isinstance(self.rule, PicoDetRule):
            middle = (len(arrays) + 1) // 2
            return decode_picodet(
                arrays[:middle], arrays[middle:], self.rule, least, frames, self.manifest.num_classes
            )
        rows, counts = _rows_and_counts(arrays)
        return split_boxes(rows, counts, least, frames, self.manifest.num_classes)

    def answers(self, outputs: Outputs, pictures: Sequence[Shown], asked: Asked) -> list[Answer]:
        threshold = self.rule.answer_threshold if asked.threshold is None else asked.threshold
        found = self.boxes(outputs, pictures, threshold)
        return [
            self._answer(boxes[: asked.top_k] if asked.top_k else boxes, picture.name)
            for boxes, picture in zip(found, pictures, strict=True)
        ]

    def _answer(self, boxes: Boxes, filename: str) -> Detected:
        classes = boxes.classes.tolist()
        corners = boxes.corners.astype(float).round(CORNER_DECIMALS).tolist()
        return Detected(
            class_ids=tuple(classes),
            scores=tuple(round(score, SCORE_DECIMALS) for score in boxes.scores.tolist()),
            label_names=tuple(self.labels[class_id] for class_id in classes) if self.labels else (),
            boxes=tuple((x0, y0, x1, y1) for x0, y0, x1, y1 in corners),
            filename=filename,
        )

    def findings(self, answer: Answer) -> list[Finding]:
        assert isinstance(answer, Detected)
        names = answer.label_names or (None,) * len(answer.class_ids)
        return list(map(Finding, answer.class_ids, names, answer.scores, answer.boxes))

    def documents(self, answer: Answer) -> list[CocoResult]:
        assert isinstance(answer, Detected)
        stem = PurePath(answer.filename).stem
        number = int(stem) if re.fullmatch(r"[0-9]{1,18}", stem) else answer.filename
        names = answer.label_names or (None,) * len(answer.class_ids)
        return [
            CocoResult(
                image_id=number,
                category_id=class_id,
                bbox=(x0, y0, round(x1 - x0, CORNER_DECIMALS), round(y1 - y0, CORNER_DECIMALS)),
                score=score,
                category_name=name,
                file_name=answer.filename,
            )
            for class_id, score, name, (x0, y0, x1, y1) in zip(
                answer.class_ids, answer.scores, names, answer.boxes, strict=True
            )
        ]

    def draw(self, pixels: Pixels, answer: Answer) -> None:
        import numpy as np

        from edgekit.vision.draw import draw_boxes

        assert isinstance(answer, Detected)
        boxes = Boxes(
            classes=np.array(answer.class_ids, np.int64),
            scores=np.array(answer.scores, np.float32),
            corners=np.array(answer.boxes, np.float32).reshape(-1, 4),
        )
        draw_boxes(pixels, boxes, self.labels)

    def agreement(self, outputs: Outputs, reference: Outputs, tolerance: float | None) -> Agreement | None:
        """Count the boxes that one of two sets of outputs has and the other lacks with the same class.

        Boxes count above the answers' threshold. A score within the tolerance of the
        threshold may be on either side.
        """
        size = self.manifest.preprocess.size
        pictures = [Shown(f"input {n}", *size, is_input=True) for n in range(self._pictures(reference))]
        margin = 0.0 if tolerance is None else tolerance
        limit = self.rule.answer_threshold
        agreeing: list[bool] = []
        for own, wanted in zip(
            self.boxes(outputs, pictures, max(0.0, limit - margin)),
            self.boxes(reference, pictures, max(0.0, limit - margin)),
            strict=True,
        ):
            partners = match(own, wanted, SAME_OBJECT)
            sure_own, sure_wanted = own.scores > limit + margin, wanted.scores > limit + margin
            matched = partners >= 0
            missed = [row for row in range(len(wanted)) if row not in partners[matched]]
            agreeing += [True] * int(matched.sum())
            agreeing += [False] * int((sure_own & ~matched).sum() + sure_wanted[missed].sum())
        return Agreement(agreeing=tuple(agreeing), judged_by=BOXES, phrase="boxes agree", of=BOXES)

    def truth(self, list_path: Path, data: Path, tell: Callable[[str], None]) -> Truth[Any]:
        from edgekit.tasks.truth.boxes import BoxTruth

        return BoxTruth(self, list_path, data, tell)

    @classmethod
    def evaluation(cls) -> type[Evaluation]:
        from edgekit.tasks.truth.boxes import BoxEvalResult

        return BoxEvalResult

    def _pictures(self, outputs: Outputs) -> int:
        arrays = list(outputs.values())
        if isinstance(self.rule, PicoDetRule):
            return len(arrays[0])
        counts = _rows_and_counts(arrays)[1]
        return 1 if counts is None else counts.size

    @property
    def divides(self) -> bool:
        return isinstance(self.rule, PicoDetRule)

    def cut(self, outputs: Outputs, count: int) -> dict[str, NDArray[Any]]:
        """Return the outputs for the first `count` pictures; rows of boxes are counted by picture."""
        if isinstance(self.rule, PicoDetRule):
            return super().cut(outputs, count)
        rows, counts = _rows_and_counts(list(outputs.values()))
        if counts is None:
            return dict(outputs)
        kept = max(0, int(counts.reshape(-1)[:count].sum()))
        return {name: array[:kept] if array is rows else array[:count] for name, array in outputs.items()}

    def further_inputs(self, pictures: Sequence[Shown]) -> dict[str, NDArray[np.float32]]:
        """Return PaddleDetection's inputs of sizes, each float32[N,2] of height and width."""
        import numpy as np

        frames = self.frames(pictures)
        return {
            "im_shape": np.array([frame.shown_size or frame.input_size for frame in frames], np.float32),
            "scale_factor": np.array([frame.scale for frame in frames], np.float32),
        }


def _rows_and_counts(arrays: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return the rows of boxes and the counts of a model that carries NMS, in whichever order."""
    rows = [array for array in arrays if array.dtype.kind == "f"]
    counts = [array for array in arrays if array.dtype.kind in "iu"]
    if len(rows) != 1 or len(counts) > 1:
        shown = ", ".join(f"{array.dtype}{list(array.shape)}" for array in arrays)
        raise InputError(
            f"reading boxes: the outputs are {shown}, not rows of boxes and whole numbers of rows",
            hint="correct postprocess in the manifest, or import the model again",
        )
    return rows[0], counts[0] if counts else None


TASK = Detection
