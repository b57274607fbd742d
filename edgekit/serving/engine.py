"""Runner of one model behind a queue; waiting pictures are computed together.

Requests are batched here and not by MLServer, which joins requests before it examines them, so that one
invalid picture fails every request. Here every picture is decoded by itself into its place in the batch.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.core.artifact import Manifest
from edgekit.errors import EdgekitError, InputError, RunnerError, UnsupportedError
from edgekit.runners.session import RunnerSession
from edgekit.runners.shared import SharedArray
from edgekit.serving.pipeline import BATCHES, Job, Pipeline
from edgekit.serving.place import Place
from edgekit.serving.runner import Runner, ServedModel, fixed_batch
from edgekit.targets.target import Subject
from edgekit.tasks.classification import Classification
from edgekit.tasks.registry import task_of
from edgekit.tasks.task import Answer, Asked, Outputs, Shown
from edgekit.vision.decode import KEPT_PIXELS, MAX_PIXELS, Canvas, count_pixels, jpeg_size
from edgekit.vision.pictures import Picture, read_picture
from edgekit.vision.preprocess import Preprocessor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.vision.decode import Pixels

    Rows = NDArray[np.float32]
    Outcome = Rows | Answer
    Caller = asyncio.Future[Outcome]


# Inferences of each batch size when a model is loaded; sizes within this factor count as equally good.
ROUNDS = 8
NEARLY = 1.02
# Larger pictures take more than a quarter of a second to decode.
LARGE_PIXELS = KEPT_PIXELS
LARGE_NICE = 10
# A label map has a byte a pixel, and many more in JSON.
MOST_MAP_PIXELS = KEPT_PIXELS
# OpenCV holds the pixels of other formats than JPEG twice.
MOST_COPIED_PIXELS = MAX_PIXELS // 2
# Outcome of a place whose input could not be written; nobody gets it.
INVALID = InputError("the input is invalid")
# Large pictures that wait to be decoded; their files are in memory until then.
MOST_LARGE = 16


class NotFiniteError(RunnerError):
    """The network's output for one input is NaN or infinite."""


class BusyError(RunnerError):
    """More large pictures arrive than can be decoded in time."""


class BatchingEngine:
    """Runner that serves many callers at once; call `start` first and `close` last.

    Args:
        directory: Artifact directory.
        manifest: Its manifest.
        served: Settings of the model.
        on_batch: Called with the number of pictures of each computed batch.
    """

    def __init__(
        self,
        directory: Path,
        manifest: Manifest,
        served: ServedModel,
        on_batch: Callable[[int], object] = lambda count: None,
    ) -> None:
        self._on_batch = on_batch
        self.served = served
        self.manifest = manifest
        self._subject = Subject(directory=directory, manifest=manifest, anyway=served.anyway)
        self.task = task_of(manifest, self._subject.labels)
        self._preprocessor = Preprocessor(manifest.preprocess)
        self._of_thread = threading.local()
        self._row = Place(self._subject, self._preprocessor.shape)
        self.input_shape = self._row.picture_shape
        # Decodes large pictures at low priority, so that they delay no other request.
        self._large = 0
        self._aside = ThreadPoolExecutor(1, f"{manifest.name} large", initializer=_lower_priority)
        # The inputs of one picture are neighbours in memory, so that only a batch of one has no gaps.
        alone = self._row.further or not self.task.divides
        self._places = 1 if alone else fixed_batch(self._subject, served) or served.max_batch
        self._runner = Runner(self._subject, served, self._places)
        self._fixed_batch = False
        self._memory: SharedArray | None = None
        self._pipeline: Pipeline[Caller] | None = None
        self.batch_size = self._places

    async def start(self) -> None:
        """Load the model. Raises EdgekitError where it cannot be loaded."""
        loop = asyncio.get_running_loop()
        self._memory = SharedArray((BATCHES, self._places, *self._row.shape))
        self._write_further(self._memory.array[0, 0], self._whole_input("no picture"))
        session = await loop.run_in_executor(None, self._runner.session)
        assert self._runner.loaded is not None
        shape = self._runner.loaded.inputs[0].shape
        self._fixed_batch = bool(shape) and shape[0] is not None
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

    def abandon(self) -> None:
        """Kill the runner; what is waiting fails, and `close` ends soon."""
        self._runner.abandon()

    def _quickest_batch(self, session: RunnerSession) -> int:
        """Return the batch size with the least time a picture; among nearly equal sizes, the largest.

        Batches do not help some engines, or slow them: ONNX Runtime on one core takes a sixth longer a
        picture for eight than for one. Afterwards all tried sizes are warm.
        """
        if self._fixed_batch:
            return self._places
        sizes = [1 << power for power in range(self._places.bit_length())]
        # Measured in rounds, so that other load on this machine affects all sizes alike.
        rounds = [[self._infer(session, 0, size)[1] / size for size in sizes] for _ in range(ROUNDS)]
        each_ns = dict(zip(sizes, map(min, zip(*rounds, strict=True)), strict=True))
        least_ns = min(each_ns.values())
        return max(size for size, spent_ns in each_ns.items() if spent_ns <= NEARLY * least_ns)

    async def close(self) -> None:
        """Compute the waiting pictures, then end the runner."""
        await asyncio.get_running_loop().run_in_executor(None, self._close)

    def _close(self) -> None:
        if self._pipeline is not None:
            self._pipeline.close()
        self._aside.shutdown(cancel_futures=True)
        self._runner.close()
        if self._memory is not None:
            self._memory.close()

    async def pictures(self, pictures: Sequence[bytes]) -> list[Outcome]:
        """Return the outcome for each encoded picture: scores float32[C] of a classifier, else an answer.

        Raises:
            InputError: One of the inputs is not a picture.
            BusyError: Too many large pictures are waiting.
            RunnerError: The runner failed.
        """
        self._check_maps(pictures)
        writes = [self._writer(f"picture {index}", content) for index, content in enumerate(pictures)]
        return await self._submit(await asyncio.gather(*writes))

    def _check_maps(self, pictures: Sequence[bytes]) -> None:
        """Raise InputError where the label maps of a request would be too large."""
        if self.task.answers_pixels and sum(map(count_pixels, pictures)) > MOST_MAP_PIXELS:
            raise InputError(
                f"serving {self.manifest.name}: the pictures of one request have more than {MOST_MAP_PIXELS} "
                "pixels"
            )

    async def tensors(self, tensors: Rows) -> list[Outcome]:
        """Return the outcome for each preprocessed input of float32[N,…], as `pictures` does.

        The pixels of an answer are those of the input. The model has no further inputs.

        Raises:
            InputError: The output for one of the inputs is not finite.
            RunnerError: The runner failed.
        """
        writes = [
            partial(_copy, row, self._whole_input(f"input {index}")) for index, row in enumerate(tensors)
        ]
        try:
            return await self._submit(writes)
        except NotFiniteError as error:
            raise InputError(error.message) from error

    def _whole_input(self, name: str) -> Shown:
        return Shown(name, *self.manifest.preprocess.size, is_input=True)

    async def _writer(self, name: str, content: bytes) -> Callable[[Rows], Shown]:
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
            return partial(_copy, *await decoding)
        finally:
            self._large -= 1

    def _prepare(self, name: str, content: bytes) -> tuple[Rows, Shown]:
        import numpy as np

        row = np.empty(self._row.shape, np.float32)
        return row, self._write(row, name, read_picture(Picture(name=name, source=content), canvas=Canvas()))

    def _decode(self, name: str, content: bytes, out: Rows) -> Shown:
        if not hasattr(self._of_thread, "canvas"):
            self._of_thread.canvas = Canvas()
        pixels = read_picture(Picture(name=name, source=content), canvas=self._of_thread.canvas)
        return self._write(out, name, pixels)

    def _write(self, out: Rows, name: str, pixels: Pixels) -> Shown:
        self._preprocessor.write(pixels, self._row.picture(out), name)
        shown = Shown(name, pixels.shape[0], pixels.shape[1])
        self._write_further(out, shown)
        return shown

    def _write_further(self, out: Rows, shown: Shown) -> None:
        if self._row.further:
            computed = self.task.further_inputs([shown])
            for name, part in self._row.further.items():
                if name not in computed:
                    raise UnsupportedError(
                        f"serving {self.manifest.name}: nothing is known of its input {name}",
                        hint=f"edgekit predict {shlex.quote(self.manifest.name)} inputs.npz -o outputs.npz",
                    )
                out[part] = computed[name].reshape(-1)

    async def _submit(self, writes: Sequence[Callable[[Rows], Shown]]) -> list[Outcome]:
        assert self._pipeline is not None
        loop = asyncio.get_running_loop()
        jobs = []
        for write in writes:
            answer: Caller = loop.create_future()
            jobs.append(Job(write=write, wanted=partial(_is_awaited, answer), caller=answer))
        self._pipeline.submit(jobs)
        return await asyncio.gather(*[job.caller for job in jobs])

    def _compute(self, batch: int, shown: Sequence[Shown | None]) -> list[Outcome | BaseException]:
        """Return the outcome for each of the first inputs of a batch, or an error for it.

        Where the runner dies, the inputs are computed once more, each alone, so that only the one that
        kills the runner fails. An engine loaded for one batch size computes them together again.

        Args:
            batch: Number of the batch.
            shown: The inputs, without those that could not be written.
        """
        assert self._memory is not None
        # An engine loaded for one batch size computes all places.
        if self._fixed_batch:
            self._memory.array[batch, len(shown) :] = 0
        self._on_batch(len(shown))
        try:
            return self._answers(batch, 0, shown)
        except RunnerError:
            if self._fixed_batch:
                return self._answers(batch, 0, shown)
            return [self._alone(batch, index, one) for index, one in enumerate(shown)]

    def _alone(self, batch: int, index: int, shown: Shown | None) -> Outcome | BaseException:
        try:
            return self._answers(batch, index, [shown])[0]
        except EdgekitError as error:
            return error

    def _answers(
        self, batch: int, first: int, shown: Sequence[Shown | None]
    ) -> list[Outcome | BaseException]:
        """Return the outcomes of the inputs from `first` on, as `_compute`. Raises RunnerError."""
        session, count = self._runner.session(), len(shown)
        try:
            values, _ = self._infer(session, batch, self._places if self._fixed_batch else count, first=first)
        except RunnerError:
            self._runner.give_up(session)
            raise
        if isinstance(self.task, Classification):
            return self._scores(values[0], count)
        names = [output.name for output in self.manifest.outputs]
        if self.task.divides:
            rows = [[array[row : row + 1] for array in values] for row in range(count)]
        else:
            rows = [list(values)]
        return [
            INVALID if one is None else self._answer(dict(zip(names, row, strict=True)), one)
            for row, one in zip(rows, shown, strict=True)
        ]

    def _scores(self, values: NDArray[Any], count: int) -> list[Outcome | BaseException]:
        import numpy as np

        assert isinstance(self.task, Classification)
        rows = values.astype(np.float32, copy=False).reshape(len(values), -1)[:count]
        with np.errstate(invalid="ignore"):
            scores = self.task.scores({self.manifest.outputs[0].name: rows})
        failed = self._not_finite()
        return [row if np.isfinite(given).all() else failed for given, row in zip(rows, scores, strict=True)]

    def _answer(self, outputs: Outputs, shown: Shown) -> Outcome | BaseException:
        import numpy as np

        if not all(np.isfinite(values).all() for values in outputs.values()):
            return self._not_finite()
        try:
            return self.task.answers(outputs, [shown], Asked(top_k=self.served.top_k))[0]
        except EdgekitError as error:
            # The picture is well: outputs that give no answer are the model's fault.
            return RunnerError(error.message)

    def _not_finite(self) -> NotFiniteError:
        return NotFiniteError(f"serving {self.manifest.name}: the output for this input is not finite")

    def _infer(
        self, session: RunnerSession, batch: int, count: int, *, first: int = 0
    ) -> tuple[list[NDArray[Any]], int]:
        """Return the outputs of `count` inputs of a batch from `first`, and the inference's time, ns."""
        assert self._memory is not None
        place = batch * self._places + first
        values, inferred = session.infer_file(
            self._memory.path, self._row.shapes(count), skip=place * self._memory.array[0, 0].nbytes
        )
        return values, inferred.latency_ns


def _lower_priority() -> None:
    # Linux sets the priority of this thread only.
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LARGE_NICE)


def _is_awaited(answer: Caller) -> bool:
    return not answer.cancelled()


def _copy(row: Rows, shown: Shown, out: Rows) -> Shown:
    out[...] = row
    return shown


def _settle(outcomes: Sequence[tuple[Caller, Outcome | BaseException]]) -> None:
    for answer, outcome in outcomes:
        if answer.done():
            continue
        if isinstance(outcome, BaseException):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)
