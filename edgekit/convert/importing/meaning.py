"""Meaning of an imported model's outputs, and the preprocessing of its pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from edgekit.convert.importing.answers import decide_answer
from edgekit.convert.importing.configuration import Configured
from edgekit.convert.importing.detectors import recognise, refuse_unknown
from edgekit.convert.importing.jobs import Answer
from edgekit.convert.importing.segmenters import recognise_segmenter
from edgekit.convert.importing.shapes import shown
from edgekit.convert.request import ConversionRequest
from edgekit.core.preprocess import Interpolation, Pad, Preprocess, Resize
from edgekit.errors import InputError
from edgekit.tasks.detection import Detection
from edgekit.tasks.multilabel import task_of_rule
from edgekit.tasks.segmentation import Segmentation
from edgekit.tasks.task import written_rule
from edgekit.tasks.tensors import Tensors


class Meaning(msgspec.Struct, frozen=True, kw_only=True):
    """Meaning of a model's outputs: the manifest's fields, remarks, and the size of its pictures."""

    task: str
    postprocess: dict[str, Any] = {}
    num_classes: int = 0
    notes: tuple[str, ...] = ()
    size: tuple[int, int] | None = None


def find_meaning(configured: Configured, examined: Answer, request: ConversionRequest, path: Path) -> Meaning:
    """Find the meaning of a model's outputs by its configuration, else by the outputs' shapes and numbers.

    Args:
        configured: The configuration beside the model.
        examined: The model's inputs and outputs.
        request: The import, for hints.
        path: The model, for messages.

    Raises:
        InputError: The configuration does not fit the outputs, or nothing says the number of classes.
    """
    if configured.segmenter is not None:
        labelling = recognise_segmenter(examined.inputs, examined.outputs, str(path))
        classes = labelling.num_classes or len(configured.labels or ())
        if not classes:
            raise InputError(
                f"importing {path}: its label map is of classes of which nothing says the number",
                hint=request.with_options("--labels FILE"),
            )
        return Meaning(task=Segmentation.name, num_classes=classes, size=labelling.size)
    if examined.num_classes and configured.detector is None:
        rule, guessed = decide_answer(configured.postprocess, examined.activation, examined.num_classes)
        height, width = (size or 0 for size in examined.inputs[0].shape[2:])
        return Meaning(
            task=task_of_rule(rule),
            postprocess=written_rule(rule),
            num_classes=examined.num_classes,
            notes=guessed,
            size=(height, width),
        )
    found = recognise(examined.inputs, examined.outputs, configured.detector)
    if found is None and configured.detector is not None:
        raise refuse_unknown(examined.outputs, str(path))
    if found is None:
        return Meaning(task=Tensors.name)
    classes = found.num_classes or len(configured.labels or ())
    if not classes:
        raise InputError(
            f"importing {path}: its boxes are of classes of which nothing says the number",
            hint=request.with_options("--labels FILE"),
        )
    note = "its outputs are the scores and distances of PicoDet's head"
    return Meaning(
        task=Detection.name,
        postprocess=written_rule(found.rule),
        num_classes=classes,
        notes=() if configured.detector is not None else (note,),
        size=found.size,
    )


def choose_preprocess(
    configured: Configured, examined: Answer, meaning: Meaning
) -> tuple[Preprocess, tuple[str, ...]]:
    """Return a model's preprocessing, and remarks about what was assumed.

    Raises:
        InputError: The configuration makes pictures of another size than the model takes.
    """
    if meaning.size is None:
        inputs = ", ".join(f"{each.name} {each.dtype}{shown(each.shape)}" for each in examined.inputs)
        note = f"no classifier of pictures (it takes {inputs}): predict takes arrays (.npz)"
        return configured.preprocess or Preprocess(), (note,)
    height, width = meaning.size
    notes: tuple[str, ...] = ()
    if configured.segmenter is not None:
        if configured.segmenter.resize is None:
            notes = (f"PaddleSeg gives it pictures of any size; here they are resized to {width}x{height}",)
        configured = msgspec.structs.replace(
            configured, preprocess=configured.segmenter.preprocess(meaning.size)
        )
    if configured.preprocess is not None:
        preprocess, wanted = configured.preprocess, configured.preprocess.size
        *others, last = preprocess.geometry
        if isinstance(last, Pad) and last.level is None:
            # PaddleDetection pads each picture, or batch, to multiples of a stride; here the size is fixed.
            notes += (f"pictures are padded with zeros to {width}x{height}, whatever their sides",)
            try:
                padded = (*others, Pad(size=(height, width)))
                preprocess, wanted = msgspec.structs.replace(preprocess, steps=padded), (height, width)
            except ValueError as error:
                raise InputError(f"importing: its preprocessing does not fit its input: {error}") from error
        if wanted != (height, width):
            raise InputError(
                f"importing: the preprocessing gives pictures of {wanted[0]}x{wanted[1]} (height, width), "
                f"the model takes {height}x{width}",
                hint="--preprocess FILE.toml with the size that the model takes",
            )
        return preprocess, notes
    if meaning.task == Detection.name:
        steps = (Resize(size=(height, width), interpolation=Interpolation.BICUBIC),)
        note = "its preprocessing was not said: that of PaddleDetection's PicoDet is assumed (--preprocess)"
        return Preprocess(steps=steps), (note,)
    default = Preprocess()
    if height == width:
        ratio = (default.resize_short or height) / default.crop_size
        assumed = msgspec.structs.replace(default, crop_size=height, resize_short=round(height * ratio))
    else:
        assumed = Preprocess(steps=(Resize(size=(height, width)),))
    return assumed, ("its preprocessing was not said: PaddleClas's for ImageNet is assumed (--preprocess)",)
