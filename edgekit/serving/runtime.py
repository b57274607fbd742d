"""Runtime that MLServer loads: `implementation` in a model's `model-settings.json`."""

from __future__ import annotations

import base64
import binascii
import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from mlserver import MLModel
from mlserver.errors import InferenceError, MLServerError
from mlserver.types import (
    InferenceRequest,
    InferenceResponse,
    MetadataModelResponse,
    Parameters,
    RequestInput,
    ResponseOutput,
    TensorData,
)

from edgekit.convert.manifest import load_manifest
from edgekit.errors import EdgekitError, InputError
from edgekit.serving.answers import DATATYPES, IMAGE_INPUT, Tensor, form_of, own_input
from edgekit.serving.arrays import read_array
from edgekit.serving.engine import BatchingEngine, BusyError
from edgekit.serving.metrics import BATCH_SIZES
from edgekit.serving.runner import ServedModel
from edgekit.serving.tensors import TensorEngine
from edgekit.tasks.registry import find_task


class EdgekitRuntime(MLModel):  # type: ignore[misc]
    """Serves an exported model over the Open Inference Protocol.

    Takes `image` (BYTES [N]: encoded pictures; in JSON as base64) or the model's own input (FP32
    [N,3,H,W], preprocessed). Answers as `edgekit predict` does, in the form of the model's task
    (`edgekit.serving.answers`). A model of tensors takes its own inputs and answers its own outputs.
    """

    _engine: BatchingEngine | TensorEngine | None = None
    # Outputs of a model for pictures: True for those that are answered only where a request names them.
    _answered: dict[str, bool] = {}

    async def load(self) -> bool:
        parameters = self.settings.parameters
        if parameters is None or parameters.uri is None:
            raise MLServerError(f"loading {self.name}: parameters.uri names no artifact directory", 500)
        served = msgspec.convert(parameters.extra or {}, ServedModel)
        directory = _directory(self.settings, parameters.uri)
        manifest = load_manifest(directory)
        on_batch = BATCH_SIZES.labels(self.name).observe
        takes_pictures = find_task(manifest.task).takes_pictures
        kind = BatchingEngine if takes_pictures else TensorEngine
        self._engine = kind(directory, manifest, served, on_batch)
        if isinstance(self._engine, BatchingEngine):
            task = self._engine.task
            described = form_of(task).describe(task, served.top_k)
            self._answered = {one.name: one.is_asked_for for one in described}
        await self._engine.start()
        # Freeze loaded objects: a garbage collection of all of MLServer takes a tenth of a second.
        gc.collect()
        gc.freeze()
        return True

    async def unload(self) -> bool:
        if self._engine is not None:
            await self._engine.close()
        return True

    def abandon(self) -> None:
        """Kill the runner; requests that wait fail."""
        if self._engine is not None:
            self._engine.abandon()

    async def metadata(self) -> MetadataModelResponse:
        found = await super().metadata()
        if self._engine is not None:
            found.parameters = Parameters(weights=self._engine.manifest.source, **self._warning())
        return found

    def _warning(self) -> dict[str, str]:
        """Return what must be said beside answers: that random weights make them meaningless."""
        warning = self._loaded().manifest.doubt
        return {} if warning is None else {"warning": warning}

    def _loaded(self) -> BatchingEngine | TensorEngine:
        assert self._engine is not None
        return self._engine

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        wanted = {output.name for output in payload.outputs or []}
        engine = self._loaded()
        try:
            if isinstance(engine, TensorEngine):
                outputs = await self._compute(engine, payload, wanted)
            else:
                outcomes = await self._outcomes(engine, payload)
                outputs = self._outputs(engine, outcomes, wanted)
        except InputError as error:
            raise InferenceError(error.message) from error
        except BusyError as error:
            raise MLServerError(error.message, 503) from error
        except EdgekitError as error:
            raise MLServerError(error.message, 500) from error
        warning = self._warning()
        return InferenceResponse(
            model_name=self.name,
            model_version=self.version,
            id=payload.id,
            outputs=outputs,
            parameters=Parameters(**warning) if warning else None,
        )

    async def _compute(
        self, engine: TensorEngine, payload: InferenceRequest, wanted: set[str]
    ) -> list[ResponseOutput]:
        specs, outputs = engine.manifest.inputs, engine.manifest.outputs
        given = {one.name: one for one in payload.inputs}
        names = [spec.name for spec in specs]
        if sorted(one.name for one in payload.inputs) != sorted(names):
            asked = ", ".join(one.name for one in payload.inputs)
            raise InferenceError(f"model {self.name} takes the inputs {', '.join(names)}, not {asked}")
        self._check_wanted(wanted, {spec.name for spec in outputs})
        arrays = [read_array(given[spec.name], spec) for spec in specs]
        values = await engine.compute(arrays)
        return [
            _output(Tensor(spec.name, DATATYPES[array.dtype.name], array.shape, array))
            for spec, array in zip(outputs, values, strict=True)
            if not wanted or spec.name in wanted
        ]

    def _check_wanted(self, wanted: set[str], known: set[str]) -> None:
        unknown = wanted - known
        if unknown:
            raise InferenceError(f"model {self.name} has no output {', '.join(sorted(unknown))}")

    async def _outcomes(self, engine: BatchingEngine, payload: InferenceRequest) -> list[Any]:
        names = [given.name for given in payload.inputs]
        own = own_input(engine.manifest)
        known = [IMAGE_INPUT] if own is None else [IMAGE_INPUT, own.name]
        if len(names) != 1 or names[0] not in known:
            raise InferenceError(f"model {self.name} takes one input, {' or '.join(known)}, not {names}")
        given = payload.inputs[0]
        if given.name == IMAGE_INPUT:
            pictures = _pictures(given)
            self._check_count(engine, len(pictures))
            return await engine.pictures(pictures)
        assert own is not None
        tensors = read_array(given, msgspec.structs.replace(own, shape=(None, *engine.input_shape)))
        self._check_count(engine, len(tensors))
        return await engine.tensors(tensors)

    def _check_count(self, engine: BatchingEngine, count: int) -> None:
        most = engine.served.max_batch
        if not 1 <= count <= most:
            raise InferenceError(f"model {self.name} takes 1 to {most} pictures a request, not {count}")

    def _outputs(
        self, engine: BatchingEngine, outcomes: Sequence[Any], wanted: set[str]
    ) -> list[ResponseOutput]:
        # A model without labels answers without names.
        self._check_wanted(wanted, {"label_names", *self._answered})
        written = wanted or {name for name, is_asked_for in self._answered.items() if not is_asked_for}
        tensors = form_of(engine.task).write(engine.task, outcomes, engine.served.top_k, written)
        return [_output(tensor) for tensor in tensors if tensor.name in written]


def _directory(settings: Any, uri: str) -> Path:
    """Return the model's directory; a relative `uri` starts at the settings file, as in MLServer."""
    source = getattr(settings, "_source", None)
    return Path(uri) if source is None else (Path(source).parent / uri).resolve()


def _output(tensor: Tensor) -> ResponseOutput:
    name, datatype, shape, values = tensor
    if not isinstance(values, list):
        # Not validated: that would copy every value.
        data = TensorData.model_construct(root=values)
        return ResponseOutput.model_construct(name=name, datatype=datatype, shape=list(shape), data=data)
    return ResponseOutput(name=name, datatype=datatype, shape=list(shape), data=values)


def _pictures(given: RequestInput) -> list[bytes]:
    if given.datatype != "BYTES":
        raise InferenceError(f"input {given.name} is {given.datatype}; encoded pictures are BYTES")
    content = given.data.root if hasattr(given.data, "root") else given.data
    entries = content if isinstance(content, list) else [content]
    if list(given.shape) not in ([len(entries)], [len(entries), 1]):
        raise InferenceError(f"input {given.name} says shape {given.shape}, but has {len(entries)} pictures")
    return [_picture(entry, index) for index, entry in enumerate(entries)]


def _picture(entry: Any, index: int) -> bytes:
    if isinstance(entry, bytes):
        return entry
    if not isinstance(entry, str):
        raise InferenceError(f"picture {index} is {type(entry).__name__}, not bytes or base64 text")
    try:
        return base64.b64decode(entry, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InferenceError(f"picture {index}: no base64 text ({error})") from error
