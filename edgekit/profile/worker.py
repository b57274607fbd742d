"""Profiling worker: one process for one session of ONNX Runtime under its own profiler."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from edgekit._worker import serve
from edgekit.core.artifact import TensorSpec
from edgekit.core.feeds import seeded_feed
from edgekit.engines.worker.process import tasks


class ProfileJob(msgspec.Struct, frozen=True, kw_only=True):
    """Job of one worker.

    Attributes:
        model: Path of the `.onnx`.
        inputs: Types and shapes of its inputs.
        runs: Number of inferences including the warm-up.
        directory: Directory for ONNX Runtime's profile.
    """

    model: str
    inputs: tuple[TensorSpec, ...]
    threads: int
    runs: int
    directory: str


class ProfileAnswer(msgspec.Struct, frozen=True, kw_only=True, tag="profile"):
    """Result of a job; `events` is the path of ONNX Runtime's profile."""

    engine_version: str
    effective_threads: int
    events: str


def work(job: ProfileJob) -> Iterator[ProfileAnswer]:
    """Run a session under the profiler."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = job.threads
    settings.inter_op_num_threads = 1
    settings.enable_profiling = True
    settings.profile_file_prefix = str(Path(job.directory) / "ort")
    before = tasks()
    session = onnxruntime.InferenceSession(job.model, settings, providers=["CPUExecutionProvider"])
    # The pool holds one thread fewer than requested, because the calling thread works too.
    effective = 1 + len(tasks() - before)
    arrays = seeded_feed(job.inputs, 0)
    feed = {one.name: array for one, array in zip(job.inputs, arrays, strict=True)}
    for _ in range(job.runs):
        session.run(None, feed)
    yield ProfileAnswer(
        engine_version=onnxruntime.__version__, effective_threads=effective, events=session.end_profiling()
    )


if __name__ == "__main__":
    serve(work, ProfileJob)
