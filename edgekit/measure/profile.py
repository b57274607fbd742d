"""`profile`: where the time of an inference goes, operator by operator, by ONNX Runtime's own profiler."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit.convert.manifest import verify_files
from edgekit.core.artifact import ArtifactKind
from edgekit.core.stats import median
from edgekit.errors import RunnerError, ToolError
from edgekit.measure.inputs import seeded_inputs
from edgekit.measure.target import Subject

WARMUP_RUNS = 10
# An operator gains from threads where it becomes at least this many times as fast; the rest is serial.
GAINS_FROM = 1.1


class NodeEvent(msgspec.Struct, frozen=True):
    """An entry of ONNX Runtime's profile; `dur` is in microseconds."""

    cat: str
    name: str
    dur: int = 0
    args: dict[str, object] = {}


class OperatorShare(msgspec.Struct, frozen=True, kw_only=True):
    """All nodes of one kind.

    Attributes:
        us: Median over the inferences of their sum, microseconds, by number of threads.
        share: Of the operators' whole time at the fewest threads.
        serial: No number of threads made it faster by a tenth; None where one number was measured.
    """

    operator: str
    nodes: int
    us: dict[str, float]
    share: float
    serial: bool | None


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """The document of `profile --json`."""

    model: str
    engine: str
    engine_version: str
    repeats: int
    operators: tuple[OperatorShare, ...]


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
    times: dict[str, dict[str, float]] = {}
    nodes: dict[str, int] = {}
    for number in dict.fromkeys(threads):
        events = _profile(model, subject, number, repeats)
        nodes, sums = _sum_up(events, repeats)
        for operator, us in sums.items():
            times.setdefault(operator, {})[str(number)] = us
    first = str(threads[0])
    whole = sum(us.get(first, 0.0) for us in times.values())
    shares = [_share(operator, nodes.get(operator, 0), us, whole, first) for operator, us in times.items()]
    return Profile(
        model=subject.manifest.name,
        engine="onnxruntime",
        engine_version=onnxruntime.__version__,
        repeats=repeats,
        operators=tuple(sorted(shares, key=lambda one: -one.share)),
    )


def _share(operator: str, nodes: int, us: dict[str, float], whole: float, first: str) -> OperatorShare:
    fastest = min((value for number, value in us.items() if number != first), default=None)
    return OperatorShare(
        operator=operator,
        nodes=nodes,
        us=us,
        share=us.get(first, 0.0) / whole if whole else 0.0,
        serial=None if fastest is None else us.get(first, 0.0) < GAINS_FROM * fastest,
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


def _sum_up(events: Sequence[NodeEvent], repeats: int) -> tuple[dict[str, int], dict[str, float]]:
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
    return nodes, {operator: median([run.get(operator, 0) for run in runs]) for operator in nodes}
