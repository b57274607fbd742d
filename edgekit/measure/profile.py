"""`profile` on this machine: where the time goes, operator by operator, by ONNX Runtime's own profiler."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit.convert.manifest import verify_files
from edgekit.core.artifact import ArtifactKind
from edgekit.core.profile import Cost, Kind, Profile, Unit, shares
from edgekit.core.stats import median
from edgekit.errors import RunnerError, ToolError
from edgekit.measure.inputs import seeded_inputs
from edgekit.measure.target import Subject

WARMUP_RUNS = 10


class NodeEvent(msgspec.Struct, frozen=True):
    """An entry of ONNX Runtime's profile; `dur` is in microseconds."""

    cat: str
    name: str
    dur: int = 0
    args: dict[str, object] = {}


def profile_host(subject: Subject, *, threads: Sequence[int], repeats: int) -> Profile:
    """Profile the float ONNX artifact on this machine.

    Args:
        threads: Numbers of threads, one session each, one after the other.
        repeats: Inferences that are profiled.

    Raises:
        ToolError: ONNX Runtime is not installed.
        InputError: The artifact is missing or damaged.
        RunnerError: The profiler wrote nothing usable.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ToolError(
            f"profiling {subject.manifest.name}: the package onnxruntime is not installed",
            hint="pip install 'edgekit[onnxruntime]'",
        ) from error
    artifact = subject.artifact(ArtifactKind.ONNX)
    verify_files(subject.manifest, subject.directory, [ArtifactKind.ONNX])
    model = subject.directory / artifact.files[0].path
    costs = {
        number: _sum_up(_profile(model, subject, number, repeats), repeats) for number in sorted(set(threads))
    }
    return Profile(
        model=subject.manifest.name,
        engine="onnxruntime",
        engine_version=onnxruntime.__version__,
        precision=artifact.kind.precision.value,
        unit=Unit.MICROSECONDS,
        repeats=repeats,
        threads=tuple(costs),
        operators=shares(costs),
    )


def _profile(model: Path, subject: Subject, threads: int, repeats: int) -> list[NodeEvent]:
    """The node events of `repeats` inferences after the warm-up, in order."""
    import onnxruntime

    with tempfile.TemporaryDirectory(prefix="edgekit-profile-") as directory:
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        settings.inter_op_num_threads = 1
        settings.enable_profiling = True
        settings.profile_file_prefix = str(Path(directory) / "ort")
        session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
        feed = {session.get_inputs()[0].name: seeded_inputs(1, subject.input_shape)[:1]}
        for _ in range(WARMUP_RUNS + repeats):
            session.run(None, feed)
        content = Path(session.end_profiling()).read_bytes()
    try:
        events = msgspec.json.decode(content, type=list[NodeEvent])
    except msgspec.MsgspecError as error:
        raise RunnerError(
            f"profiling {subject.manifest.name}: the profile is not readable: {error}"
        ) from error
    kernels = [event for event in events if event.cat == "Node" and event.name.endswith("_kernel_time")]
    per_run, rest = divmod(len(kernels), WARMUP_RUNS + repeats)
    if rest or not per_run:
        raise RunnerError(
            f"profiling {subject.manifest.name}: {len(kernels)} kernels in {WARMUP_RUNS + repeats} inferences"
        )
    return kernels[WARMUP_RUNS * per_run :]


def _sum_up(events: Sequence[NodeEvent], repeats: int) -> dict[Kind, Cost]:
    """Nodes and median microseconds of one inference, by operator."""
    per_run = len(events) // repeats
    runs: list[dict[str, int]] = []
    nodes: dict[str, int] = {}
    for start in range(0, len(events), per_run):
        sums: dict[str, int] = {}
        for event in events[start : start + per_run]:
            operator = str(event.args.get("op_name", "?"))
            sums[operator] = sums.get(operator, 0) + event.dur
            if start == 0:
                nodes[operator] = nodes.get(operator, 0) + 1
        runs.append(sums)
    return {
        (operator, None): Cost(nodes=count, cost=median([run.get(operator, 0) for run in runs]))
        for operator, count in nodes.items()
    }
