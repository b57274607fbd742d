"""The profiling worker: one process for one session of ONNX Runtime under its own profiler.

Called with the path of a `ProfileJob` as JSON.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from edgekit.engines.worker.process import task_count
from edgekit.targets.inputs import seeded_inputs


class ProfileJob(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker does.

    Attributes:
        model: The `.onnx`.
        input_shape: Channels, height, width.
        runs: Inferences, warm-up included.
        directory: Where ONNX Runtime's profile goes.
        answer: File to write a `ProfileAnswer` to.
    """

    model: str
    input_shape: tuple[int, ...]
    threads: int
    runs: int
    directory: str
    answer: str


class ProfileAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it; `events` is ONNX Runtime's profile."""

    engine_version: str
    effective_threads: int
    events: str


def main() -> None:
    """Do the job whose file is the last argument."""
    import onnxruntime

    job = msgspec.json.decode(Path(sys.argv[-1]).read_bytes(), type=ProfileJob)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = job.threads
    settings.inter_op_num_threads = 1
    settings.enable_profiling = True
    settings.profile_file_prefix = str(Path(job.directory) / "ort")
    before = task_count()
    session = onnxruntime.InferenceSession(job.model, settings, providers=["CPUExecutionProvider"])
    # The pool holds one thread fewer than asked: the caller's works too.
    effective = 1 + task_count() - before
    feed = {session.get_inputs()[0].name: seeded_inputs(1, job.input_shape)}
    for _ in range(job.runs):
        session.run(None, feed)
    answer = ProfileAnswer(
        engine_version=onnxruntime.__version__, effective_threads=effective, events=session.end_profiling()
    )
    Path(job.answer).write_bytes(msgspec.json.encode(answer))
