"""The first rung of the parity ladder: the network itself, computed by Paddle without any export.

A process of its own computes it, because Paddle leaves state behind and takes long to import.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgekit._files import scratch_directory, write_scratch
from edgekit._worker import Stage, Worker, call, serve
from edgekit.core.spec import ModelSpec
from edgekit.errors import PADDLE_REMEDY, InputError, RunnerError, ToolError, UnsupportedError
from edgekit.toolchain.paddle import worker

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.targets.target import Subject

TIMEOUT_S = 300.0
# Inputs that are computed at once have at most this many pixels; a segmenter takes a kilobyte for each.
MOST_PIXELS = 32 * 224 * 224
_RANDOM = re.compile(r"random \(seed (\d+)\)$")


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Compute a network's outputs.

    Attributes:
        weights: `pretrained`, `random`, or the path of a weight file.
        sha256: SHA-256 that the weight file must have; None for random weights.
        activation: What the artifacts add to the network, by the manifest's `output_activation`.
        inputs: A file of raw float32 of `shape`.
        outputs: The file to write (.npz): the outputs by their numbers, `0`, `1`, ….
    """

    spec: ModelSpec
    weights: str
    seed: int
    sha256: str | None
    num_classes: int
    activation: str
    inputs: str
    shape: tuple[int, ...]
    outputs: str


def compute(
    subject: Subject, spec: ModelSpec, inputs: NDArray[np.float32], *, weights: Path | None = None
) -> list[NDArray[np.float32]]:
    """Return the network's outputs, which the artifacts have to reproduce, float32[N, …] each.

    Args:
        subject: The exported model.
        spec: The model's card.
        inputs: float32[N, C, H, W].
        weights: Path of the weights where they are not official; None for the weights of the manifest.

    Raises:
        UnsupportedError: The weight file is not at hand: this rung cannot be climbed.
        ToolError: Paddle is missing, or official weights cannot be reached.
        InputError: The weights are other ones than the manifest's, or damaged.
    """
    import numpy

    manifest = subject.manifest
    source, seed = _source(subject, weights)
    with scratch_directory("verify") as name:
        directory = Path(name)
        job = Job(
            spec=spec,
            weights=source,
            seed=seed,
            sha256=manifest.source_sha256,
            num_classes=manifest.num_classes,
            activation=manifest.output_activation,
            inputs=str(directory / "in.f32"),
            shape=tuple(inputs.shape),
            outputs=str(directory / "out.npz"),
        )
        write_scratch(Path(job.inputs), numpy.asarray(inputs, dtype=numpy.float32).tobytes())
        process = Worker[None](worker(__name__), None, failure=RunnerError, timeout_s=TIMEOUT_S)
        call(process, job, f"computing the network of {manifest.name}", hint="edgekit doctor")
        with numpy.load(job.outputs) as found:
            return [found[str(number)] for number in range(len(found.files))]


def _source(subject: Subject, weights: Path | None) -> tuple[str, int]:
    if weights is not None:
        return str(weights), 0
    source = subject.manifest.source
    random = _RANDOM.match(source)
    if random:
        return "random", int(random[1])
    if source == "pretrained":
        return "pretrained", 0
    raise UnsupportedError(
        f"the network of {subject.manifest.name} has its weights from {source}, of which the manifest keeps "
        f"the name only",
        hint=f"edgekit verify {subject.word} --weights {shlex.quote(source)}",
    )


def work(job: Job) -> Iterator[Stage]:
    """Write the outputs."""
    yield Stage(doing="importing Paddle")
    import numpy

    try:
        import paddle
    except ImportError as error:
        raise ToolError(
            f"computing {job.spec.name}: paddlepaddle cannot be imported ({error})",
            hint=PADDLE_REMEDY,
        ) from error
    from edgekit.convert.formats.paddle import activation_of
    from edgekit.zoo.weights import build_with_weights

    yield Stage(doing="computing")
    paddle.set_device("cpu")
    network, found = build_with_weights(job.spec, job.weights, num_classes=job.num_classes, seed=job.seed)
    if found.sha256 != job.sha256:
        raise InputError(
            f"computing {job.spec.name}: its weights {found.path} are not those that were exported "
            f"(SHA-256 {_short(found.sha256)}, the manifest says {_short(job.sha256)})",
            hint=f"edgekit export {job.spec.name} --force",
        )
    network.eval()
    inputs = numpy.fromfile(job.inputs, dtype=numpy.float32).reshape(job.shape)
    activate = activation_of(job.activation)
    at_once = max(1, MOST_PIXELS // math.prod(job.shape[2:]))
    parts = []
    with paddle.no_grad():
        for start in range(0, len(inputs), at_once):
            outputs = activate(network(paddle.to_tensor(inputs[start : start + at_once])))
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
            parts.append([each.numpy() for each in outputs])
    joined = [numpy.concatenate(each) for each in zip(*parts, strict=True)]
    numpy.savez(job.outputs, **{str(number): each for number, each in enumerate(joined)})


def _short(digest: str | None) -> str:
    return "none" if digest is None else f"{digest[:12]}…"


if __name__ == "__main__":
    serve(work, Job)
