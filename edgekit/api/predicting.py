"""Predicting: `from edgekit import EdgeKit`."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from edgekit.convert.manifest import DEFAULT_ROOT, find_artifacts
from edgekit.core.spec import Precision, find_precision
from edgekit.engines.registry import PREDICT_ENGINE
from edgekit.errors import UsageError
from edgekit.predict.predict import Predictor, Settings
from edgekit.targets.target import HostTarget, Subject
from edgekit.vision.pictures import iterate_pictures

if TYPE_CHECKING:
    from edgekit.vision.pictures import Source

logger = logging.getLogger("edgekit")


class EdgeKit:
    """An exported model, ready to classify pictures; its answers have PaddleClas's form.

        model = EdgeKit("PPLCNet_x1_0", batch_size=2)
        for batch in model.predict(["hen.jpg", "photos/"]):
            for answer in batch:
                print(answer["label_names"][0], answer["scores"][0], answer["filename"])

    The engine runs in a process of its own, started here and ended by `close`, at the end of a `with`
    block, or with the object.

    Args:
        name: Name of a model below `root`, or the path of an artifact directory.
        engine: An engine of this machine (docs/engines.md), e.g. `onnxruntime`, `paddle`, `openvino`, `mnn`.
        precision: `fp32`, `fp16` or `int8`.
        batch_size: Pictures a batch.
        threads: Threads of each worker.
        workers: Processes side by side; with more than one, batches are computed a little ahead.
        top_k: At most so many classes a picture; None takes what the model's configuration says, else 5, and
            of a multi-label model all that pass.
        threshold: Classes with a lower score are left out; of a model that answers by threshold, in the place
            of its own.
        labels: A label file in the place of the model's own.
        reduced_decode: Decode large JPEGs at a fraction of their size: faster, some answers change.
        root: Where `edgekit export` puts artifact directories.
        install: Whether packages and components of the engine may be installed on the way.

    Raises:
        UsageError: No such engine or precision.
        InputError: There is no such model, or its manifest or labels are damaged.
        ToolError: A package or component of the engine is missing.
    """

    def __init__(
        self,
        name: str | Path,
        *,
        engine: str = PREDICT_ENGINE,
        precision: str = Precision.FP32.value,
        batch_size: int = 1,
        threads: int = 1,
        workers: int = 1,
        top_k: int | None = None,
        threshold: float | None = None,
        labels: str | Path | None = None,
        reduced_decode: bool = False,
        root: str | Path = DEFAULT_ROOT,
        install: bool = True,
    ) -> None:
        for option, value in (
            ("batch_size", batch_size), ("threads", threads), ("workers", workers), ("top_k", top_k)
        ):  # fmt: skip
            if value is not None and value < 1:
                raise UsageError(f"EdgeKit: {option}={value}", hint=f"{option} is at least 1")
        directory, manifest = find_artifacts(name, Path(root))
        settings = Settings(
            engine=engine,
            precision=find_precision(precision),
            threads=threads,
            batch_size=batch_size,
            workers=workers,
            top_k=top_k,
            threshold=threshold,
            labels=None if labels is None else Path(labels),
            reduced_decode=reduced_decode,
        )
        subject = Subject(directory=directory, manifest=manifest)
        self._predictor = Predictor(HostTarget(install=install, huge_pages=True), subject, settings)
        self._end = weakref.finalize(self, self._predictor.close)

    def predict(self, sources: Source | Iterable[Source]) -> Iterator[list[dict[str, Any]]]:
        """Classify pictures, lazily: a batch is read when its answers are asked for.

        Args:
            sources: A path, a directory (recursive, sorted), the bytes of a file, an array uint8[H,W,3] RGB,
                or an iterable of these. Files that are no pictures are logged and passed over.

        Yields:
            A list with a dict for every picture of a batch: `class_ids`, `scores`, `label_names` (best
            first; of a multi-label model those that reach their threshold, in order of class) and `filename`
            (`bytes 0` and `array 0` for what has no name); of a detection model also `boxes`, corners x0,
            y0, x1, y1 in pixels of the picture.

        Raises:
            RunnerError: The engine failed.
        """
        for answers in self._predictor.predict(iterate_pictures(sources)):
            for unreadable in answers.unreadable:
                logger.warning("passed over: %s", unreadable.error.message)
            if answers.predictions:
                yield [prediction.as_dict() for prediction in answers.predictions]

    def close(self) -> None:
        """End the engine's process; predicting afterwards is an error."""
        self._end()

    def __enter__(self) -> EdgeKit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
