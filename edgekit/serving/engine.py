"""Runner of one model behind a queue; waiting pictures are computed together.

Requests are batched here and not by MLServer, which joins requests before it examines them, so that one
invalid picture fails every request. Here every picture is decoded by itself into its place in the batch.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgekit.convert.manifest import load_manifest
from edgekit.core.spec import Precision
from edgekit.engines.registry import PREDICT_ENGINE
from edgekit.errors import EdgekitError, InputError, RunnerError
from edgekit.runners.session import RunnerSession
from edgekit.runners.shared import SharedArray
from edgekit.serving.pipeline import BATCHES, Job, Pipeline
from edgekit.targets.target import HostTarget, Subject, load_request
from edgekit.tasks.classification import Classification
from edgekit.vision.decode import KEPT_PIXELS, MAX_PIXELS, Canvas, count_pixels, jpeg_size
from edgekit.vision.labels import read_own_labels
from edgekit.vision.pictures import Picture, read_picture
from edgekit.vision.preprocess import Preprocessor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]
    Answer = asyncio.Future[Rows]


# Inferences of each batch size when a model is loaded; sizes within this factor count as equally good.
ROUNDS = 8
NEARLY = 1.02
# Larger pictures take more than a quarter of a second to decode.
LARGE_PIXELS = KEPT_PIXELS
LARGE_NICE = 10
# OpenCV holds the pixels of other formats than JPEG twice.
MOST_COPIED_PIXELS = MAX_PIXELS // 2
# Large pictures that wait to be decoded; their files are in memory until then.
MOST_LARGE = 16


class ServedModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a served model; the `parameters.extra` of its `model-settings.json`.

    Attributes:
        engine: Name of the engine.
        threads: Number of threads of the runner.
        max_batch: Maximum number of pictures computed together and in one request.
        max_wait_ms: Time that a picture waits for others while nothing else delays it, ms.
        top_k: Number of classes in an answer.
        decode_threads: Number of threads that decode and preprocess.
        anyway: True to serve an artifact that failed its check.
    """

    engine: str = PREDICT_ENGINE
    precision: Precision = Precision.FP32
    threads: int = 1
    max_batch: int = 8
    max_wait_ms: float = 0.0
    top_k: int = 5
    decode_threads: int = 1
    anyway: bool = False


class NotFiniteError(RunnerError):
    """The network's output for one input is NaN or infinite."""


class BusyError(RunnerError):
    """More large pictures are asked for than are decoded in time."""


class BatchingEngine:
    """Runner that serves many callers at once; call `start` first and `close` last.

    Args:
        directory: Artifact directory.
        served: Settings of the model.
        on_batch: Called with the number of pictures of each computed batch.
    """

    def __init__(
        self, directory: Path, served: ServedModel, on_batch: Callable[[int], object] = lambda count: None
    ) -> None:
        self._on_batch = on_batch
        self.served = served
        self.manifest = load_manifest(directory)
        self._task = Classification(self.manifest)
        self._subject = Subject(directory=directory, manifest=self.manifest, anyway=served.anyway)
        self._target = HostTarget(huge_pages=True)
        self._preprocessor = Preprocessor(self.manifest.preprocess)
        self._of_thread = threading.local()
        own = self.manifest.labels
        self.labels = read_own_labels(directory / own, self.manifest.num_classes) if own else ()
        self.input_shape = self._subject.input_shape
        self._session: RunnerSession | None = None
        self._loading: RunnerSession | None = None
        self._abandoned = False
        # Decodes large pictures at low priority, so that they delay no other request.
        self._large = 0
        self._aside = ThreadPoolExecutor(1, f"{self.manifest.name} large", initializer=_lower_priority)
        self._opening = threading.Lock()
        self._fixed_batch = False
        self._memory: SharedArray | None = None
        self._pipeline: Pipeline[Answer] | None = None
        self.batch_size = served.max_batch

    async def start(self) -> None:
        """Load the model. Raises EdgekitError where it cannot be loaded."""
        loop = asyncio.get_running_loop()
        self._memory = SharedArray((BATCHES, self.served.max_batch, *self.input_shape))
        session = await loop.run_in_executor(None, self._runner)
        self.batch_size = await loop.run_in_executor(None, self._quickest_batch, session)
        self._pipeline = Pipeline(
            self._memory.array,
            self._compute,
            lambda outcomes: loop.call_soon_threadsafe(_settle, outcomes),
            size=self.batch_size,
            preparers=self.served.decode_threads,
            max_wait_s=self.served.max_wait_ms / 1e3,
            name=self.manifest.name,
        )
        self._pipeline.start()

    def _runner(self) -> RunnerSession:
        """Return the working runner; start a new one where the last was given up."""
        with self._opening:
            if self._session is None:
                self._session = self._open()
                self._loading = None
            return self._session

    def abandon(self) -> None:
        """Kill the runner; what is waiting fails, and `close` ends soon."""
        self._abandoned = True
        for session in (self._loading, self._session):
            if session is not None:
                session.kill()

    def _give_up(self, session: RunnerSession) -> None:
        with self._opening:
            if self._session is session:
                self._session = None
        session.kill()

    def _quickest_batch(self, session: RunnerSession) -> int:
        """Return the batch size with the least time a picture; among nearly equal sizes, the largest.

        Batches do not help some engines, or slow them: ONNX Runtime on one core takes a sixth longer a
        picture for eight than for one. Afterwards all tried sizes are warm.
        """
        if self._fixed_batch:
            return self.served.max_batch
        sizes = [1 << power for power in range(self.served.max_batch.bit_length())]
        # Measured in rounds, so that other load on this machine affects all sizes alike.
        rounds = [[self._infer(session, 0, size)[1] / size for size in sizes] for _ in range(ROUNDS)]
        each_ns = dict(zip(sizes, map(min, zip(*rounds, strict=True)), strict=True))
        least_ns = min(each_ns.values())
        return max(size for size, spent_ns in each_ns.items() if spent_ns <= NEARLY * least_ns)

    def _open(self) -> RunnerSession:
        served, target = self.served, self._target
        request = load_request(
            target,
            self._subject,
            self._subject.artifact(target.artifact_kind(served.engine, served.precision)),
            batch_size=served.max_batch,
            threads=served.threads,
            options=target.options(served.engine, served.precision, {}),
        )
        session = target.session(served.engine, f"{served.engine} on {self.manifest.name}")
        session.start()
        self._loading = session
        if self._abandoned:
            session.kill()
        try:
            loaded = session.load(request)
        except BaseException:
            session.kill()
            raise
        shape = loaded.inputs[0].shape
        self._fixed_batch = bool(shape) and shape[0] is not None
        return session

    async def close(self) -> None:
        """Compute the waiting pictures, then end the runner."""
        await asyncio.get_running_loop().run_in_executor(None, self._close)

    def _close(self) -> None:
        if self._pipeline is not None:
            self._pipeline.close()
        self._aside.shutdown(cancel_futures=True)
        if self._session is not None:
            self._session.close()
        self._target.close()
        if self._memory is not None:
            self._memory.close()

    async def classify(self, pictures: Sequence[bytes]) -> list[Rows]:
        """Return probabilities float32[C] of each encoded picture.

        Raises:
            InputError: One of the inputs is not a picture.
            BusyError: Too many large pictures are waiting.
            RunnerError: The runner failed.
        """
        writes = [self._writer(f"picture {index}", content) for index, content in enumerate(pictures)]
        return await self._submit(await asyncio.gather(*writes))

    async def infer(self, tensors: Rows) -> list[Rows]:
        """Return probabilities float32[C] of each preprocessed input of float32[N,…].

        Raises:
            InputError: The output for one of the inputs is not finite.
            RunnerError: The runner failed.
        """
        try:
            return await self._submit([partial(_copy, row) for row in tensors])
        except NotFiniteError as error:
            raise InputError(error.message) from error

    async def _writer(self, name: str, content: bytes) -> Callable[[Rows], object]:
        """Return a function that writes a picture into its place; a large picture is decoded before."""
        pixels = count_pixels(content)
        if pixels <= LARGE_PIXELS:
            return partial(self._decode, name, content)
        if pixels > MOST_COPIED_PIXELS and jpeg_size(content) is None:
            raise InputError(f"decoding {name}: {pixels} pixels are too many for another format than JPEG")
        if self._large == MOST_LARGE:
            raise BusyError(f"serving {self.manifest.name}: {MOST_LARGE} large pictures are waiting already")
        self._large += 1
        try:
            decoding = asyncio.get_running_loop().run_in_executor(self._aside, self._prepare, name, content)
            return partial(_copy, await decoding)
        finally:
            self._large -= 1

    def _prepare(self, name: str, content: bytes) -> Rows:
        return self._preprocessor(read_picture(Picture(name=name, source=content), canvas=Canvas()), name)

    def _decode(self, name: str, content: bytes, out: Rows) -> None:
        if not hasattr(self._of_thread, "canvas"):
            self._of_thread.canvas = Canvas()
        pixels = read_picture(Picture(name=name, source=content), canvas=self._of_thread.canvas)
        self._preprocessor.write(pixels, out, name)

    async def _submit(self, writes: Sequence[Callable[[Rows], object]]) -> list[Rows]:
        assert self._pipeline is not None
        loop = asyncio.get_running_loop()
        jobs = []
        for write in writes:
            answer: Answer = loop.create_future()
            jobs.append(Job(write=write, wanted=partial(_is_awaited, answer), caller=answer))
        self._pipeline.submit(jobs)
        return await asyncio.gather(*[job.caller for job in jobs])

    def _compute(self, batch: int, count: int) -> list[Rows | BaseException]:
        """Return probabilities float32[C] of each of the first inputs of a batch, or an error for it.

        Where the runner dies, the inputs are computed once more, each alone, so that only the one that
        kills the runner fails. An engine loaded for one batch size computes them together again.
        """
        assert self._memory is not None
        # An engine loaded for one batch size computes all places.
        if self._fixed_batch:
            self._memory.array[batch, count:] = 0
        self._on_batch(count)
        try:
            return self._answers(batch, 0, count)
        except RunnerError:
            if self._fixed_batch:
                return self._answers(batch, 0, count)
            return [self._alone(batch, index) for index in range(count)]

    def _alone(self, batch: int, index: int) -> Rows | BaseException:
        try:
            return self._answers(batch, index, 1)[0]
        except EdgekitError as error:
            return error

    def _answers(self, batch: int, first: int, count: int) -> list[Rows | BaseException]:
        """Return what `_compute` returns, of `count` inputs from `first`. Raises RunnerError."""
        import numpy as np

        if self._abandoned:
            raise RunnerError(f"serving {self.manifest.name}: the service ends")
        session = self._runner()
        places = self.served.max_batch if self._fixed_batch else count
        try:
            values, _ = self._infer(session, batch, places, first=first)
        except RunnerError:
            self._give_up(session)
            raise
        rows = values.reshape(len(values), -1)[:count]
        with np.errstate(invalid="ignore"):
            scores = self._task.scores({self.manifest.outputs[0].name: rows})
        failed = NotFiniteError(f"serving {self.manifest.name}: the output for this input is not finite")
        return [row if np.isfinite(given).all() else failed for given, row in zip(rows, scores, strict=True)]

    def _infer(self, session: RunnerSession, batch: int, count: int, *, first: int = 0) -> tuple[Rows, int]:
        """Return the outputs of `count` inputs of a batch from `first`, and the inference's time, ns."""
        import numpy as np

        assert self._memory is not None
        shape = (count, *self.input_shape)
        place = batch * self.served.max_batch + first
        (values, *_), inferred = session.infer_file(
            self._memory.path, [shape], skip=place * self._memory.array[0, 0].nbytes
        )
        return values.astype(np.float32, copy=False), inferred.latency_ns


def _lower_priority() -> None:
    # Of this thread only, as Linux has it.
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LARGE_NICE)


def _is_awaited(answer: Answer) -> bool:
    return not answer.cancelled()


def _copy(row: Rows, out: Rows) -> None:
    out[...] = row


def _settle(outcomes: Sequence[tuple[Answer, Rows | BaseException]]) -> None:
    for answer, outcome in outcomes:
        if answer.done():
            continue
        if isinstance(outcome, BaseException):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)
