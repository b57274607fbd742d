"""The export worker: one process that imports Paddle once and builds several models.

Jobs come as JSON lines on stdin, events go as JSON lines to stdout (`jobs.py`). It is a
process of its own because Paddle takes a second to import, reads a flag at import, leaves state behind
and may end the process on a bad model.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import msgspec

from edgekit.convert.exporting.jobs import (
    BuildJob,
    Event,
    JobFailed,
    JobFinished,
    OnnxBuilt,
    PaddleBuilt,
    StageStarted,
)
from edgekit.convert.formats import onnx, paddle
from edgekit.errors import ConversionError, EdgekitError, OutputError
from edgekit.zoo.build import require_paddle
from edgekit.zoo.weights import build_with_weights

# PR_SET_PDEATHSIG of prctl(2): whoever is killed takes its worker along.
_PR_SET_PDEATHSIG = 1
PREFIX = "inference"
TEMPORARY = "tmp"


def main() -> None:
    """Serve jobs until stdin ends."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    # Paddle and paddle2onnx print to stdout, from C++ too; the events get it to themselves.
    events = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        _serve(msgspec.json.decode(line, type=BuildJob), events)
    os._exit(0)  # everything is written; Paddle's own end takes a while


def _serve(job: BuildJob, events: BinaryIO) -> None:
    def send(event: Event) -> None:
        events.write(msgspec.json.encode(event) + b"\n")
        events.flush()

    temporary = Path(job.directory) / TEMPORARY
    try:
        temporary.mkdir()
        tempfile.tempdir = str(temporary)  # where paddle2onnx puts its intermediate model
        _build(job, send)
        outcome: Event = JobFinished()
    except EdgekitError as error:
        outcome = JobFailed(error=type(error).__name__, message=error.message, hint=error.hint)
    except OSError as error:
        outcome = JobFailed(
            error=OutputError.__name__,
            message=f"exporting {job.name}: {error}",
            hint="free space there, or write elsewhere with -o",
        )
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        outcome = JobFailed(
            error=ConversionError.__name__,
            message=f"exporting {job.name}: {type(error).__name__}: {lines[-1]}",
            hint="edgekit --verbose export shows what the worker printed",
        )
    # Before the last event: with that the directory belongs to the other side again.
    tempfile.tempdir = None
    shutil.rmtree(temporary, ignore_errors=True)
    send(outcome)


def _build(job: BuildJob, send: Callable[[Event], None]) -> None:
    send(StageStarted(stage="importing Paddle"))
    require_paddle(f"exporting {job.name}")
    import paddle as framework

    framework.set_device("cpu")
    prefix = Path(job.directory) / PREFIX
    # A guard for each job: names of parameters count up, and equal input shall give equal bytes.
    with framework.utils.unique_name.guard():
        send(StageStarted(stage="building the network and loading its weights"))
        network, weights = build_with_weights(job.spec, job.weights, num_classes=job.num_classes)
        send(StageStarted(stage="writing the Paddle inference model"))
        paddle.save_inference_model(network, job.input_shape, prefix)
    inputs, outputs = paddle.read_signature(prefix.with_suffix(".pdmodel"))
    send(
        PaddleBuilt(
            tool_version=framework.__version__,
            source=weights.source,
            source_sha256=weights.sha256,
            num_classes=weights.num_classes,
            inputs=inputs,
            outputs=outputs,
        )
    )
    send(StageStarted(stage="loading the Paddle inference model again"))
    paddle.check_loadable(prefix)
    if job.with_onnx:
        send(StageStarted(stage="converting to ONNX"))
        target = prefix.with_suffix(".onnx")
        onnx.convert(prefix.with_suffix(".pdmodel"), prefix.with_suffix(".pdiparams"), target)
        inputs, outputs = onnx.read_signature(target)
        version = importlib.metadata.version("paddle2onnx")
        send(OnnxBuilt(tool_version=version, inputs=inputs, outputs=outputs))


if __name__ == "__main__":
    main()
