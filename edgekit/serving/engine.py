"""One model's runner behind a queue: what waits is computed together.

Requests are batched here and not by MLServer, which joins them before it looks into them: there one broken
picture fails everybody's request. Here every request is decoded on its own, many at a time, and joins a
batch only once it is sound.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgekit.convert.manifest import load_manifest
from edgekit.core.spec import Precision
from edgekit.errors import InputError, RunnerError
from edgekit.runners.engines import artifact_kind, host_launcher, host_options, host_side
from edgekit.runners.protocol import Load
from edgekit.runners.session import RunnerSession
from edgekit.transports.local import LocalTransport
from edgekit.vision.labels import load_labels
from edgekit.vision.pictures import Picture, read_picture
from edgekit.vision.preprocess import Preprocessor
from edgekit.vision.topk import softmax

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]


class ServedModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model is served; the `parameters.extra` of its `model-settings.json`.

    Attributes:
        engine: What computes.
        threads: Of the runner.
        max_batch: Pictures that are computed together at most, and that one request may carry.
        max_wait_ms: How long a picture waits for others to be computed with while the runner idles.
        top_k: Classes an answer.
        decode_threads: Decode and preprocess.
    """

    engine: str = "onnxruntime"
    precision: Precision = Precision.FP32
    threads: int = 1
    max_batch: int = 8
    max_wait_ms: float = 2.0
    top_k: int = 5
    decode_threads: int = 2


class BatchingEngine:
    """A runner that serves many callers at once; `start` it, `close` it.

    Args:
        directory: The artifact directory.
        served: How.
        on_batch: Told how many pictures were computed together.
    """

    def __init__(
        self, directory: Path, served: ServedModel, on_batch: Callable[[int], object] = lambda count: None
    ) -> None:
        self._on_batch = on_batch
        self.served = served
        self.manifest = load_manifest(directory)
        self._directory = directory
        self._preprocessor = Preprocessor(self.manifest.preprocess)
        own = self.manifest.labels
        self.labels = load_labels(directory / own, self.manifest.num_classes) if own else ()
        sizes = self.manifest.inputs[0].shape[1:]
        crop = self.manifest.preprocess.crop_size
        self.input_shape = tuple(crop if size is None else size for size in sizes)
        self._decoders = ThreadPoolExecutor(served.decode_threads, thread_name_prefix="edgekit-decode")
        # One thread: a runner answers one request after the other.
        self._caller = ThreadPoolExecutor(1, thread_name_prefix="edgekit-infer")
        self._queue: asyncio.Queue[tuple[Rows, asyncio.Future[Rows]]] = asyncio.Queue()
        self._session: RunnerSession | None = None
        self._task: asyncio.Task[None] | None = None
        self._feeds: dict[int, int] = {}

    async def start(self) -> None:
        """Load the model. Raises EdgekitError where it cannot be."""
        await asyncio.get_running_loop().run_in_executor(self._caller, self._open)
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def _open(self) -> None:
        served, manifest = self.served, self.manifest
        side = host_side(served.engine)
        artifact = manifest.artifact(artifact_kind(served.engine, side, served.precision))
        if artifact is None:
            raise InputError(
                f"serving {manifest.name}: no artifact for {served.engine} at {served.precision.value}",
                hint=f"edgekit export {manifest.name}",
            )
        launcher = host_launcher(served.engine)
        session = RunnerSession(
            LocalTransport(), launcher.argv, env=launcher.env, label=f"{served.engine} on {manifest.name}"
        )
        session.start()
        files = [str(self._directory / file.path) for file in artifact.files]
        self._session = session
        session.load(
            Load(
                model=files[0],
                params=files[1] if len(files) > 1 else None,
                sha256=artifact.files[0].sha256,
                threads=served.threads,
                input_shape=(served.max_batch, *self.input_shape),
                options=host_options(served.engine, served.precision, {}),
            )
        )

    async def close(self) -> None:
        """Compute what waits, then end the runner."""
        if self._task is not None:
            await self._queue.join()
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._session is not None:
            await asyncio.get_running_loop().run_in_executor(self._caller, self._session.close)
            for feed in self._feeds.values():
                os.close(feed)
        self._decoders.shutdown()
        self._caller.shutdown()

    async def classify(self, pictures: list[bytes]) -> Rows:
        """Probabilities float32[N,C] of encoded pictures.

        Raises:
            InputError: One of them is no picture; nothing is computed then.
            RunnerError: The runner failed.
        """
        loop = asyncio.get_running_loop()
        rows = await asyncio.gather(
            *[
                loop.run_in_executor(self._decoders, self._prepare, f"picture {index}", content)
                for index, content in enumerate(pictures)
            ]
        )
        import numpy as np

        return await self.infer(np.stack(rows))

    async def infer(self, tensors: Rows) -> Rows:
        """Probabilities float32[N,C] of preprocessed inputs float32[N,…]. Raises RunnerError."""
        future: asyncio.Future[Rows] = asyncio.get_running_loop().create_future()
        await self._queue.put((tensors, future))
        return await future

    def _prepare(self, name: str, content: bytes) -> Rows:
        return self._preprocessor(read_picture(Picture(name=name, source=content)), name)

    async def _serve(self) -> None:
        """Take what waits, up to a full batch, and compute it, for ever."""
        held: tuple[Rows, asyncio.Future[Rows]] | None = None
        while True:
            batch = [held or await self._queue.get()]
            held = None
            count = len(batch[0][0])
            deadline = time.monotonic() + self.served.max_wait_ms / 1e3
            while count < self.served.max_batch:
                try:
                    entry = await asyncio.wait_for(self._queue.get(), max(0.0, deadline - time.monotonic()))
                except asyncio.TimeoutError:
                    break
                if count + len(entry[0]) > self.served.max_batch:
                    held = entry
                    break
                batch.append(entry)
                count += len(entry[0])
            await self._compute(batch)

    async def _compute(self, batch: list[tuple[Rows, asyncio.Future[Rows]]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            rows = await loop.run_in_executor(self._caller, self._run, [tensors for tensors, _ in batch])
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
        else:
            start = 0
            for tensors, future in batch:
                if not future.done():
                    future.set_result(rows[start : start + len(tensors)])
                start += len(tensors)
        finally:
            for _ in batch:
                self._queue.task_done()

    def _run(self, parts: list[Rows]) -> Rows:
        import numpy as np

        assert self._session is not None
        count = sum(len(part) for part in parts)
        # Fixed sizes, so that an engine prepares a few and not every one; what is padded is thrown away.
        size = self._batch_size(count)
        shape = (size, *self.input_shape)
        values, _ = self._session.infer_file(self._feed(np.concatenate(parts), shape), shape)
        rows = values.reshape(size, -1)[:count]
        if not np.isfinite(rows).all():
            raise RunnerError(f"serving {self.manifest.name}: the output is not finite")
        self._on_batch(count)
        return rows if self.manifest.output_activation == "softmax" else softmax(rows)

    def _feed(self, tensors: Rows, shape: tuple[int, ...]) -> Path:
        """Where the runner reads a batch, without a copy on disk: one file in memory for every size."""
        size = shape[0]
        if size not in self._feeds:
            self._feeds[size] = os.memfd_create(f"edgekit-serve-{size}")
            os.ftruncate(self._feeds[size], 4 * math.prod(shape))
        os.pwrite(self._feeds[size], tensors.tobytes(), 0)
        return Path(f"/proc/{os.getpid()}/fd/{self._feeds[size]}")

    def _batch_size(self, count: int) -> int:
        """The next power of two, at most the full batch."""
        return min(1 << (count - 1).bit_length(), self.served.max_batch)
