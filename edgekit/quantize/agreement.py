"""Answers of an int8 artifact beside its float parent's, on held-back pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from edgekit.core.accuracy import Drop, Share, paired_drop, wilson
from edgekit.errors import ConversionError, InputError
from edgekit.predict.lanes import Route, batched, open_lanes, score_batches
from edgekit.targets.target import Subject
from edgekit.tasks.classification import Classification
from edgekit.tasks.registry import task_of
from edgekit.tasks.task import Outputs
from edgekit.vision.pictures import Picture

BATCH_SIZE = 8


class Agreed(NamedTuple):
    """Comparison of both precisions on the held-back pictures; `counted` is what `share` counts."""

    share: Share
    counted: str
    drop: Drop | None
    unread: tuple[str, ...]


def compare_answers(
    subject: Subject,
    routes: Sequence[Route],
    held_back: Sequence[tuple[Picture, int | None]],
    workers: int,
) -> Agreed:
    """Compare the answers of both precisions, by the model's task, and with labels where there are any."""
    labels = [label for _, label in held_back]
    task = task_of(subject.manifest)
    agreeing: list[float] = []
    counted = "pictures"
    lost = gained = pictures = 0
    first: Outputs | None = None
    constant = True
    position = 0
    unread: list[str] = []
    with open_lanes(subject, routes, workers=workers, threads=1, batch_size=BATCH_SIZE) as lanes:
        for scored in score_batches(lanes, batched([item for item, _ in held_back], BATCH_SIZE)):
            if scored.positions:
                floats, int8 = scored.outputs
                agreement = task.agreement(int8, floats, None)
                assert agreement is not None, "the request was checked"
                agreeing += agreement.agreeing
                counted = "pictures" if agreement.of == "inputs" else agreement.of
                pictures += len(scored.positions)
                first = task.cut(int8, 1) if first is None else first
                constant &= _is_constant(int8, first)
                if labels[0] is not None:
                    assert isinstance(task, Classification)
                    for wanted, given, index in zip(
                        task.scores(floats), task.scores(int8), scored.positions, strict=True
                    ):
                        label = labels[position + index]
                        right = int(given.argmax()) == label
                        was_right = int(wanted.argmax()) == label
                        lost += was_right and not right
                        gained += right and not was_right
            position += len(scored.items)
            unread += [item.error.message for item in scored.unreadable]
    name = routes[1].artifact.main_file
    if not pictures:
        raise InputError(f"quantising {subject.manifest.name}: no held-back picture can be read")
    if not agreeing:
        raise InputError(
            f"quantising {subject.manifest.name}: the held-back pictures show no {counted} to compare",
            hint="--held-back DIR with pictures of the kind that the model will see",
        )
    if constant and pictures > 1:
        raise ConversionError(
            f"quantising {subject.manifest.name}: {name} gives one answer for every picture"
        )
    return Agreed(
        share=wilson(math.floor(sum(agreeing) + 1e-9), len(agreeing)),
        counted=counted,
        drop=paired_drop(lost, gained, pictures) if labels[0] is not None else None,
        unread=tuple(unread),
    )


def _is_constant(outputs: Outputs, first: Outputs) -> bool:
    """Return True where every row of every output equals the first picture's."""
    return all(
        array.shape[1:] == first[name].shape[1:] and len(first[name]) == 1 and (array == first[name]).all()
        for name, array in outputs.items()
    )
