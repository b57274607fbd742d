"""A class for each pixel of a picture: scores of classes by pixel, or the label map itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit._text import one_line
from edgekit.core.artifact import Manifest
from edgekit.core.parity import Agreement
from edgekit.core.preprocess import Resize
from edgekit.errors import InputError, UnsupportedError
from edgekit.tasks.task import Answer, Asked, Finding, Outputs, Shown, Task
from edgekit.vision.label_maps import best_classes, encode_label_map, overlay, shrink

if TYPE_CHECKING:
    from edgekit.tasks.truth.evaluation import Evaluation, Truth
    from edgekit.vision.decode import Pixels
    from edgekit.vision.label_maps import LabelMap

AREA_DECIMALS = 5
PIXELS = "pixels"
ARGMAX = "argmax"
# Of a label map, the share of pixels that may be of either class where scores may differ by a relative error,
# over that error: a label map does not say which pixels' scores are close.
CLOSE_PIXELS = 10


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A segmentation model's post-processing: the best class of each pixel, which needs no data."""


@dataclass(frozen=True, kw_only=True)
class Segmented:
    """Answer for one picture.

    Attributes:
        class_ids: Class numbers that occur, the largest area first.
        areas: Share of the picture's pixels by class, 0 to 1, rounded to five decimals.
        label_names: Names of the classes; empty where the model has no labels.
        filename: Path of the picture as given, or `array 0`, `bytes 0`.
        label_map: Class of each pixel, uint8[height,width].
    """

    class_ids: tuple[int, ...]
    areas: tuple[float, ...]
    label_names: tuple[str, ...]
    filename: str
    label_map: LabelMap

    def as_dict(self) -> dict[str, Any]:
        """Return the answer without its label map."""
        return {
            "class_ids": list(self.class_ids),
            "areas": list(self.areas),
            "label_names": list(self.label_names),
            "height": self.label_map.shape[0],
            "width": self.label_map.shape[1],
            "filename": self.filename,
        }

    def line(self) -> str:
        """Return the classes with their areas as one line."""
        names = self.label_names or tuple(f"class {each}" for each in self.class_ids)
        areas = [f"{one_line(name)} {area:.1%}" for name, area in zip(names, self.areas, strict=True)]
        return ", ".join([*areas, f"filename: {one_line(self.filename)}"])


class Segmentation(Task):
    """One output: scores float[N,C,H,W], or label maps of integers [N,H,W] or [N,1,H,W]."""

    name = "segmentation"
    summary = "a model of label maps"
    draws = True
    answers_pixels = True
    score_name = "area"
    output_ops = ("none", ARGMAX)
    Rule = Rule

    def __init__(self, manifest: Manifest, labels: Sequence[str] = ()) -> None:
        super().__init__(manifest, labels)
        steps = manifest.preprocess.geometry
        if any(not isinstance(step, Resize) or step.within is not None for step in steps):
            raise UnsupportedError(
                f"segmenting with {manifest.name}: its preprocessing crops or pads, so that its "
                "label maps are not of whole pictures",
                hint="resize to the network's size without a crop: steps in preprocess",
            )

    def label_maps(self, outputs: Outputs, pictures: Sequence[Shown]) -> list[LabelMap]:
        """Return the class of each pixel of each picture, uint8[height,width].

        Raises:
            InputError: The outputs are no label maps, or have more classes than the model.
        """
        maps = []
        for values, picture in zip(self._only(outputs), pictures, strict=True):
            found = best_classes(values, (picture.height, picture.width), picture.name)
            if found.max(initial=0) >= self.manifest.num_classes:
                raise InputError(
                    f"segmenting {picture.name}: class {found.max()} in the answer, but the model has "
                    f"{self.manifest.num_classes} classes"
                )
            maps.append(found)
        return maps

    def answers(self, outputs: Outputs, pictures: Sequence[Shown], asked: Asked) -> list[Answer]:
        import numpy as np

        answers: list[Answer] = []
        for found, picture in zip(self.label_maps(outputs, pictures), pictures, strict=True):
            counts = np.bincount(found.reshape(-1))
            order = [int(each) for each in np.argsort(-counts, kind="stable") if counts[each]][: asked.top_k]
            shares = {each: counts[each] / found.size for each in order}
            kept = [each for each in order if shares[each] >= (asked.threshold or 0.0)]
            answers.append(
                Segmented(
                    class_ids=tuple(kept),
                    areas=tuple(round(float(shares[each]), AREA_DECIMALS) for each in kept),
                    label_names=tuple(self.labels[each] for each in kept) if self.labels else (),
                    filename=picture.name,
                    label_map=found,
                )
            )
        return answers

    def findings(self, answer: Answer) -> list[Finding]:
        assert isinstance(answer, Segmented)
        names = answer.label_names or (None,) * len(answer.class_ids)
        return list(map(Finding, answer.class_ids, names, answer.areas))

    def mask(self, answer: Answer, side: int) -> bytes:
        assert isinstance(answer, Segmented)
        return encode_label_map(shrink(answer.label_map, side))

    @property
    def decides(self) -> bool:
        return all(not each.dtype.startswith("float") for each in self.manifest.outputs)

    def documents(self, answer: Answer) -> Sequence[Any]:
        return [answer.as_dict()]

    def draw(self, pixels: Pixels, answer: Answer) -> None:
        assert isinstance(answer, Segmented)
        pixels[...] = overlay(pixels, answer.label_map)

    def files(self, answer: Answer) -> Mapping[str, bytes]:
        """Return the label map as a palette PNG."""
        assert isinstance(answer, Segmented)
        return {"-labels.png": encode_label_map(answer.label_map)}

    def agreement(self, outputs: Outputs, reference: Outputs, tolerance: float | None) -> Agreement | None:
        """Compare the classes of pixels.

        A pixel whose two best scores are closer to each other than the tolerance may have either class. Of
        label maps, few pixels may differ.
        """
        import numpy as np

        shares = []
        for values, wanted in zip(self._only(outputs), self._only(reference), strict=True):
            if values.shape != wanted.shape:
                shares.append(0.0)
                continue
            if np.issubdtype(wanted.dtype, np.integer):
                share = float((values == wanted).mean())
                shares.append(1.0 if 1 - share <= CLOSE_PIXELS * (tolerance or 0.0) else share)
                continue
            given, best = values.argmax(axis=0), wanted.argmax(axis=0)
            scores = np.take_along_axis(wanted, np.stack([given, best]), axis=0)
            slack = (tolerance or 0.0) * float(np.ptp(wanted))
            shares.append(float(((given == best) | (scores[1] - scores[0] < slack)).mean()))
        return Agreement(agreeing=tuple(shares), judged_by=PIXELS, phrase="the classes of pixels agree")

    def truth(self, list_path: Path, data: Path, tell: Callable[[str], None]) -> Truth[Any]:
        from edgekit.tasks.truth.label_maps import LabelMapTruth

        return LabelMapTruth(self, list_path, data)

    @classmethod
    def evaluation(cls) -> type[Evaluation]:
        from edgekit.tasks.truth.label_maps import LabelMapEvalResult

        return LabelMapEvalResult

    def _only(self, outputs: Outputs) -> Any:
        if len(outputs) != 1:
            raise InputError(
                f"segmenting with {self.manifest.name}: {len(outputs)} outputs instead of one",
                hint="the model's task is another: correct `task` in its manifest.json",
            )
        return next(iter(outputs.values()))


TASK = Segmentation
