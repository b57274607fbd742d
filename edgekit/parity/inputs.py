"""Inputs on which the rungs of a ladder are compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit.core.spec import ModelSpec, Precision
from edgekit.errors import InputError
from edgekit.targets.held_back import read_held_back
from edgekit.targets.inputs import seeded_inputs
from edgekit.targets.target import Subject

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.vision.pictures import Picture

SEEDED_INPUTS = 4


class LadderInputs(msgspec.Struct, frozen=True, kw_only=True):
    """Inputs of a ladder, float32[N,C,H,W]: seeded noise, then pictures, then those kept by `quantize`.

    Attributes:
        seeded: Number of inputs that are noise.
        held_back: Number of inputs held back from the calibration of the int8 artifacts.
    """

    every: Any
    seeded: int
    held_back: int

    def of(self, precision: Precision) -> slice:
        """Return which inputs a rung of a precision computes.

        int8 is judged on pictures alone where enough were kept: noise leaves the ranges that were
        calibrated, and on a handful one miss decides. Floats are not computed on the kept pictures, which
        would show nothing new.
        """
        if precision is Precision.INT8 and self.held_back:
            return slice(self.seeded, None)
        return slice(0, len(self.every) - self.held_back)


def ladder_inputs(subject: Subject, spec: ModelSpec | None, pictures: Sequence[Picture]) -> LadderInputs:
    """Return seeded inputs, the pictures, the card's sample pictures, then inputs that `quantize` kept.

    Where artifacts take batches of one size, the numbers of seeded and of kept inputs make whole batches.
    """
    import numpy

    preprocess = subject.manifest.preprocess
    fits = subject.input_shape == (preprocess.channels, *preprocess.size)
    if pictures and not fits:
        raise InputError(
            f"verifying {subject.manifest.name}: its inputs are no pictures of its preprocessing",
            hint="leave --pictures out",
        )
    samples = sample_pictures(spec) if spec is not None and fits else []
    batches = [artifact.fixed_batch or 1 for artifact in subject.manifest.artifacts.values()]
    whole = math.lcm(subject.fixed_batch or 1, *batches)
    shown = len(pictures) + len(samples)
    seeded = -(-(SEEDED_INPUTS + shown) // whole) * whole - shown
    inputs = seeded_inputs(seeded, subject.input_shape)
    kept = held_back_inputs(subject)
    count = 0 if kept is None else len(kept) - (shown + len(kept)) % whole
    tail = [] if kept is None or count <= 0 else [kept[:count]]
    if not shown:
        every = numpy.concatenate([inputs, *tail])
        return LadderInputs(every=every, seeded=seeded, held_back=max(0, count))
    given = numpy.stack(prepare_pictures(subject, [*pictures, *samples]))
    every = numpy.concatenate([inputs, given, *tail])
    return LadderInputs(every=every, seeded=seeded, held_back=max(0, count))


def sample_pictures(spec: ModelSpec) -> list[Picture]:
    """Return the card's sample pictures."""
    from edgekit.vision.pictures import Picture

    return [Picture(name=sample.file, source=Path(sample.file)) for sample in spec.samples]


def prepare_pictures(subject: Subject, pictures: Sequence[Picture]) -> list[NDArray[np.float32]]:
    """Return pictures preprocessed as the manifest says, float32[C,H,W] each."""
    from edgekit.vision.pictures import read_picture
    from edgekit.vision.preprocess import Preprocessor

    preprocessor = Preprocessor(subject.manifest.preprocess)
    return [preprocessor(read_picture(picture)) for picture in pictures]


def held_back_inputs(subject: Subject) -> NDArray[np.float32] | None:
    """Return the inputs that were kept with the int8 artifacts; None without any."""
    for artifact in subject.manifest.artifacts.values():
        kept = read_held_back(subject.directory, artifact, subject.input_shape)
        if kept is not None:
            return kept
    return None
