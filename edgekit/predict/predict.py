"""Classify pictures with an exported model on any engine and target."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit.core.artifact import Artifact
from edgekit.core.spec import Precision
from edgekit.engines.registry import PREDICT_ENGINE
from edgekit.errors import UnsupportedError
from edgekit.predict.feed import Item
from edgekit.predict.lanes import batched, open_lanes, plan_route, score_batches
from edgekit.targets.target import Subject, Target
from edgekit.tasks.registry import require_pictures, task_of
from edgekit.tasks.task import Answer, Asked, Shown, Task
from edgekit.vision.labels import load_labels
from edgekit.vision.pictures import Picture, Unreadable

if TYPE_CHECKING:
    from edgekit.predict.drawings import Drawings

logger = logging.getLogger("edgekit")

DEFAULT_BATCH_SIZE = 8


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a prediction.

    Attributes:
        threads: Number of threads of each runner.
        batch_size: Number of pictures a batch; None for 8, or the artifact's fixed batch size.
        workers: Number of parallel runners; a thread of this process decodes for each.
        top_k: Maximum number of classes or objects a picture; None leaves it to the model.
        threshold: Least score of a class that is returned.
        labels: Label file or set that replaces the model's own.
        draw: Directory for the pictures with their answers drawn on; None draws none.
        reduced_decode: Decode large JPEGs at a fraction of their size: faster, with occasionally other
            answers.
        thumbnails: Long side of the small copies that come with the answers, pixels; None makes none.
    """

    engine: str = PREDICT_ENGINE
    precision: Precision = Precision.FP32
    threads: int = 1
    batch_size: int | None = None
    workers: int = 1
    top_k: int | None = None
    threshold: float | None = None
    labels: Path | None = None
    draw: Path | None = None
    reduced_decode: bool = False
    thumbnails: int | None = None


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Answers of one batch, the pictures that they belong to, and its items that are not pictures.

    Attributes:
        positions: Places of the answers among all items of the batch, in order.
    """

    predictions: tuple[Answer, ...]
    pictures: tuple[Shown, ...]
    unreadable: tuple[Unreadable, ...]
    positions: tuple[int, ...]

    def rows(self) -> list[dict[str, Any]]:
        """Return a dict for each item of the batch in order: its answer, or its `filename` and `error`."""
        answered = {
            position: answer.as_dict()
            for position, answer in zip(self.positions, self.predictions, strict=True)
        }
        unread = ({"filename": each.name, "error": each.error.message} for each in self.unreadable)
        count = len(self.predictions) + len(self.unreadable)
        return [answered[place] if place in answered else next(unread) for place in range(count)]


def share_out(count: int, batch_size: int, workers: int) -> tuple[int, int]:
    """Return the batch size and number of workers that waste least on `count` pictures.

    The number of batches follows the batch size, is at least one a worker, and the batches are about equal.
    """
    batches = max(-(-count // batch_size), min(workers, count), 1)
    return max(1, -(-count // batches)), min(workers, batches)


class Predictor:
    """A model with its runners started; use it as a context manager, or call `close`.

    Attributes:
        task: The model's task, with the labels of its answers.
        batch_size: Number of pictures a batch.

    Raises:
        UsageError, UnsupportedError: The engine does not exist, or cannot do the request, or the model's
            answers cannot be drawn.
        InputError: The model has no such artifact, or the label file is wrong.
        ToolError: A component that the engine needs is missing.
    """

    def __init__(
        self, target: Target, subject: Subject, settings: Settings, *, count: int | None = None
    ) -> None:
        self._settings = settings
        require_pictures(subject.manifest, "predicting with")
        route = plan_route(target, subject, settings.engine, settings.precision)
        batch_size = choose_batch_size(settings.batch_size, route.artifact)
        workers = settings.workers
        if count is not None and route.artifact.fixed_batch is None:
            batch_size, workers = share_out(count, batch_size, workers)
        self.batch_size = batch_size
        if subject.manifest.doubt is not None:
            logger.warning("%s", subject.manifest.doubt)
        self.task = task_of(subject.manifest, _labels(subject, settings.labels))
        self._asked = Asked(top_k=settings.top_k, threshold=settings.threshold)
        self._drawings = _drawings(settings.draw, self.task)
        self._stack = contextlib.ExitStack()
        self._lanes = self._stack.enter_context(
            open_lanes(
                subject,
                [route],
                workers=workers,
                threads=settings.threads,
                batch_size=batch_size,
                reduced_decode=settings.reduced_decode,
                thumbnails=settings.thumbnails,
            )
        )

    def __enter__(self) -> Predictor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def close(self) -> None:
        """End the runners."""
        self._stack.close()

    def predict(self, items: Iterable[Item]) -> Iterator[Answers]:
        """Yield the answers batch by batch, in order.

        Raises:
            RunnerError, DeviceError, DeviceLostError: A runner failed.
            OutputError: A drawing cannot be written.
        """
        for scored in score_batches(self._lanes, batched(items, self.batch_size)):
            outputs = scored.outputs[0] if scored.outputs else None
            answers = [] if outputs is None else self.task.answers(outputs, scored.pictures, self._asked)
            if self._drawings is not None:
                for position, answer in zip(scored.positions, answers, strict=True):
                    item = scored.items[position]
                    assert isinstance(item, Picture)
                    self._drawings.add(item, answer)
            yield Answers(
                predictions=tuple(answers),
                pictures=scored.pictures,
                unreadable=scored.unreadable,
                positions=scored.positions,
            )


def _drawings(directory: Path | None, task: Task) -> Drawings | None:
    if directory is None:
        return None
    if not task.draws:
        raise UnsupportedError(
            f"drawing answers of {task.manifest.name}: {task.summary} has none to draw",
            hint="leave --draw out",
        )
    from edgekit.predict.drawings import Drawings

    return Drawings(directory, task)


def choose_batch_size(asked: int | None, artifact: Artifact) -> int:
    """Return the asked batch size, else the artifact's own or 8.

    Raises:
        UnsupportedError: The artifact takes batches of another size only.
    """
    fixed = artifact.fixed_batch
    if asked is not None and fixed is not None and asked != fixed:
        raise UnsupportedError(
            f"predicting with {artifact.main_file}: it takes batches of {fixed}, not {asked}",
            hint=f"--batch-size {fixed}",
        )
    return asked or fixed or DEFAULT_BATCH_SIZE


def _labels(subject: Subject, given: Path | None) -> tuple[str, ...]:
    return subject.labels if given is None else load_labels(given, subject.manifest.num_classes)
