"""The export worker: builds models with Paddle and converts them to ONNX."""

from __future__ import annotations

import contextlib
import importlib.metadata
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from edgekit._worker import Stage, serve
from edgekit.convert.exporting.jobs import BuildJob, Built, OnnxBuilt, PaddleBuilt
from edgekit.convert.formats import onnx, paddle
from edgekit.errors import ConversionError
from edgekit.zoo.build import require_paddle
from edgekit.zoo.weights import build_with_weights

PREFIX = "inference"
TEMPORARY = "tmp"


def work(job: BuildJob) -> Iterator[Stage | Built]:
    """Build a model in a directory; once the last answer is taken nothing is written there any more."""
    temporary = Path(job.directory) / TEMPORARY
    try:
        temporary.mkdir()
        tempfile.tempdir = str(temporary)  # where paddle2onnx puts its intermediate model
        yield from _build(job)
    finally:
        tempfile.tempdir = None
        shutil.rmtree(temporary, ignore_errors=True)


def _build(job: BuildJob) -> Iterator[Stage | Built]:
    yield Stage(doing="importing Paddle")
    require_paddle(f"exporting {job.name}")
    import paddle as framework

    framework.set_device("cpu")
    prefix = Path(job.directory) / PREFIX
    # A guard for each job: names of parameters count up, and equal input shall give equal bytes.
    with framework.utils.unique_name.guard():
        yield Stage(doing="building the network and loading its weights")
        with _nothing_drawn():
            network, weights = build_with_weights(job.spec, job.weights, num_classes=job.num_classes)
        yield Stage(doing="writing the Paddle inference model")
        paddle.save_inference_model(network, job.input_shape, prefix, job.activation)
    inputs, outputs = paddle.read_signature(prefix.with_suffix(".pdmodel"))
    probable = len(outputs) if job.activation == "sigmoid" else getattr(network, "probabilities", 0)
    outputs = tuple(
        msgspec.structs.replace(spec, is_sigmoid=number < probable) for number, spec in enumerate(outputs)
    )
    yield PaddleBuilt(
        tool_version=framework.__version__,
        source=weights.source,
        source_sha256=weights.sha256,
        num_classes=weights.num_classes,
        inputs=inputs,
        outputs=outputs,
    )
    if not job.with_onnx:
        yield Stage(doing="loading the Paddle inference model again")
        paddle.check_loadable(prefix)
        return
    yield Stage(doing="converting to ONNX")
    target = prefix.with_suffix(".onnx")
    try:  # paddle2onnx begins by loading the Paddle inference model again
        onnx.convert(prefix.with_suffix(".pdmodel"), prefix.with_suffix(".pdiparams"), target)
    except ConversionError:
        paddle.check_loadable(prefix)
        raise
    inputs, outputs = onnx.read_signature(target)
    version = importlib.metadata.version("paddle2onnx")
    yield OnnxBuilt(tool_version=version, inputs=inputs, outputs=outputs)


@contextlib.contextmanager
def _nothing_drawn() -> Iterator[None]:
    """Let new parameters be zeros unless their layer says otherwise: weights overwrite them."""
    from paddle.nn import initializer

    initializer.set_global_initializer(initializer.Constant(0.0))
    try:
        yield
    finally:
        initializer.set_global_initializer(None)


if __name__ == "__main__":
    serve(work, BuildJob)
