"""Runner of a model of tensors: each request is computed by itself, in the order of arrival."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.core.artifact import Manifest
from edgekit.errors import InputError, RunnerError, UnsupportedError
from edgekit.runners.protocol import ErrorCode
from edgekit.runners.refusal import RefusedError
from edgekit.serving.runner import Runner, ServedModel
from edgekit.targets.target import Subject

if TYPE_CHECKING:
    from numpy.typing import NDArray


class TensorEngine:
    """Model of any inputs and outputs that serves many callers; call `start` first and `close` last.

    Requests are not joined, because nothing says which axis of an input is a batch.

    Args:
        directory: Artifact directory.
        manifest: Its manifest.
        served: Settings of the model.
        on_batch: Called with 1 for each inference.
    """

    def __init__(
        self,
        directory: Path,
        manifest: Manifest,
        served: ServedModel,
        on_batch: Callable[[int], object] = lambda count: None,
    ) -> None:
        self.manifest = manifest
        self._on_batch = on_batch
        subject = Subject(directory=directory, manifest=manifest, anyway=served.anyway)
        self._runner = Runner(subject, served, subject.fixed_batch or 1)
        self._queue = ThreadPoolExecutor(1, f"{manifest.name} compute")

    async def start(self) -> None:
        """Load the model. Raises EdgekitError where it cannot be loaded."""
        await asyncio.get_running_loop().run_in_executor(self._queue, self._runner.session)

    def abandon(self) -> None:
        """Kill the runner; waiting requests fail, and `close` ends soon."""
        self._runner.abandon()

    async def close(self) -> None:
        """Compute the waiting requests, then end the runner."""
        await asyncio.get_running_loop().run_in_executor(None, self._queue.shutdown)
        self._runner.close()

    async def compute(self, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the outputs for an array of each input, in the manifest's order.

        Raises:
            InputError: The model refuses the arrays, or an output is not finite.
            RunnerError: The runner failed, and the one after it too.
        """
        return await asyncio.get_running_loop().run_in_executor(self._queue, self._compute, arrays)

    def _compute(self, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        import numpy as np

        self._on_batch(1)
        try:
            outputs = self._infer(arrays)
        except (RefusedError, UnsupportedError) as error:
            raise InputError(error.message) from error
        except RunnerError:
            # Perhaps it was killed from outside; a request that kills two runners fails.
            outputs = self._infer(arrays)
        for spec, values in zip(self.manifest.outputs, outputs, strict=True):
            if not np.isfinite(values).all():
                raise InputError(f"computing {self.manifest.name}: NaN or infinity in the output {spec.name}")
        return outputs

    def _infer(self, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        session = self._runner.session()
        try:
            try:
                return session.infer(arrays)[0]
            except RefusedError as error:
                if error.code is not ErrorCode.SHAPE:
                    raise
                # OpenVINO, for one, is loaded for one size of each input.
                session = self._runner.load_for([array.shape for array in arrays])
                return session.infer(arrays)[0]
        except (RefusedError, UnsupportedError):
            raise
        except RunnerError:
            self._runner.give_up(session)
            raise
