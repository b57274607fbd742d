"""`profile` on this machine: time by operator, measured by ONNX Runtime's own profiler."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from edgekit._files import scratch_directory
from edgekit._worker import Worker, call
from edgekit.convert.manifest import verify_files
from edgekit.core.artifact import ArtifactKind, TensorSpec
from edgekit.core.processes import ProcessWatch
from edgekit.core.profile import Cost, Kind, Layer, Profile, Unit, layer_shares, shares
from edgekit.core.stats import median
from edgekit.errors import RunnerError, ToolError, UsageError
from edgekit.judge.verdicts import disturbances
from edgekit.profile.worker import ProfileAnswer, ProfileJob
from edgekit.targets.environment import read_host_environment
from edgekit.targets.host import host_info
from edgekit.targets.target import Subject

logger = logging.getLogger("edgekit")

DEFAULT_THREADS = (1, 2, 4)
WARMUP_RUNS = 10
PROCESSES = 3
# Time enough for 60 inferences of the largest network with one thread.
WORKER_TIMEOUT_S = 1800.0
WORKER = "edgekit.profile.worker"


class NodeEvent(msgspec.Struct, frozen=True):
    """Entry of ONNX Runtime's profile; `dur` is in microseconds."""

    cat: str
    name: str
    dur: int = 0
    args: dict[str, object] = {}


class _Profiled(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes and microseconds of one inference of one process, by operator and node by node."""

    engine_version: str
    costs: dict[Kind, Cost]
    layers: tuple[Layer, ...]


def profile_host(subject: Subject, *, threads: Sequence[int] | None, repeats: int) -> Profile:
    """Profile the float ONNX artifact on this machine in several fresh processes for each number of threads.

    Args:
        threads: Numbers of threads; None for those of `DEFAULT_THREADS` that this machine has cores for.
        repeats: Number of profiled inferences of each process.

    Raises:
        UsageError: There are more threads than cores that this process may use.
        ToolError: ONNX Runtime is not installed.
        InputError: The artifact is missing or damaged.
        RunnerError: A process failed, used another number of threads, or wrote an unusable profile.
    """
    name = subject.manifest.name
    numbers = _available(name, threads)
    if importlib.util.find_spec("onnxruntime") is None:
        raise ToolError(
            f"profiling {name}: the package onnxruntime is not installed",
            hint="pip install 'edgekit[onnxruntime]'",
        )
    artifact = subject.artifact(ArtifactKind.ONNX)
    verify_files(subject.manifest, subject.directory, [ArtifactKind.ONNX])
    watch = ProcessWatch()
    readings = [read_host_environment(watch)]
    profiled: dict[int, list[_Profiled]] = {number: [] for number in numbers}
    # Take the numbers of threads in turns, so that changes of the machine affect all of them.
    for turn in range(PROCESSES):
        logger.info("profiling %s: processes %d of %d", name, turn + 1, PROCESSES)
        for number in numbers:
            profiled[number].append(_profile(subject, number, repeats))
            readings.append(read_host_environment(watch))
    busy = sorted({process for reading in readings for process in reading.busy_processes or ()})
    after = msgspec.structs.replace(readings[-1], busy_processes=tuple(busy))
    reasons = tuple(disturbances(readings[0], after))
    costs = {number: _side_by_side([one.costs for one in runs]) for number, runs in profiled.items()}
    return Profile(
        model=name,
        target=host_info(),
        artifact_sha256=artifact.sha256,
        engine="onnxruntime",
        engine_version=profiled[numbers[0]][0].engine_version,
        precision=artifact.kind.precision.value,
        unit=Unit.MICROSECONDS,
        processes=PROCESSES,
        repeats=repeats,
        threads=tuple(numbers),
        operators=shares(costs, disturbed=bool(reasons)),
        layers=layer_shares({number: [one.layers for one in runs] for number, runs in profiled.items()}),
        environment_before=readings[0],
        environment_after=after,
        reasons=reasons,
    )


def _available(name: str, threads: Sequence[int] | None) -> list[int]:
    """Return the numbers of threads, the fewest first."""
    cores = len(os.sched_getaffinity(0))
    if threads is None:
        return [number for number in DEFAULT_THREADS if number <= cores]
    numbers = sorted(set(threads))
    if numbers[-1] > cores:
        fitting = [str(number) for number in numbers if number <= cores] or ["1"]
        raise UsageError(
            f"profiling {name} with {numbers[-1]} threads: this process may use {cores} core(s)",
            hint=f"--threads {','.join(fitting)}",
        )
    return numbers


def _profile(subject: Subject, threads: int, repeats: int) -> _Profiled:
    """Profile `repeats` inferences after the warm-up, in a process of their own."""
    label = f"profiling {subject.manifest.name} with {threads} thread(s)"
    with scratch_directory("profile") as directory:
        artifact = subject.artifact(ArtifactKind.ONNX)
        inputs = subject.load_inputs(artifact.inputs, subject.fixed_batch or 1)
        job = ProfileJob(
            model=str((subject.directory / artifact.main_file).absolute()),
            inputs=tuple(TensorSpec(name=one.name, dtype=one.dtype, shape=one.shape) for one in inputs),
            threads=threads,
            runs=WARMUP_RUNS + repeats,
            directory=str(directory),
        )
        worker = Worker[ProfileAnswer](WORKER, ProfileAnswer, failure=RunnerError, timeout_s=WORKER_TIMEOUT_S)
        (answer,) = call(worker, job, label, hint="edgekit doctor")
        content = Path(answer.events).read_bytes()
    if answer.effective_threads != threads:
        raise RunnerError(f"{label}: ONNX Runtime took {answer.effective_threads}")
    events = _kernels(content, label, repeats)
    return _Profiled(
        engine_version=answer.engine_version,
        costs=_sum_up(events, repeats),
        layers=tuple(_layers(events, repeats, threads)),
    )


def _kernels(content: bytes, label: str, repeats: int) -> list[NodeEvent]:
    """Return the node events of the inferences after the warm-up, in order."""
    try:
        events = msgspec.json.decode(content, type=list[NodeEvent])
    except msgspec.MsgspecError as error:
        raise RunnerError(f"{label}: the profile is not readable: {error}") from error
    kernels = [event for event in events if event.cat == "Node" and event.name.endswith("_kernel_time")]
    per_run, rest = divmod(len(kernels), WARMUP_RUNS + repeats)
    if rest or not per_run:
        raise RunnerError(f"{label}: {len(kernels)} kernels in {WARMUP_RUNS + repeats} inferences")
    return kernels[WARMUP_RUNS * per_run :]


def _sum_up(events: Sequence[NodeEvent], repeats: int) -> dict[Kind, Cost]:
    """Return nodes and median microseconds of one inference, by operator."""
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
        (operator, None): Cost(nodes=count, processes=(median([run.get(operator, 0) for run in runs]),))
        for operator, count in nodes.items()
    }


def _layers(events: Sequence[NodeEvent], repeats: int, threads: int) -> Iterator[Layer]:
    """Yield the nodes of one inference with their median microseconds, in order."""
    per_run = len(events) // repeats
    for position, event in enumerate(events[:per_run]):
        inputs, outputs = (
            _shapes(event.args.get("input_type_shape")),
            _shapes(event.args.get("output_type_shape")),
        )
        weights = inputs[1] if len(inputs) > 1 and event.args.get("parameter_size") != "0" else ()
        yield Layer(
            name=event.name.removesuffix("_kernel_time").removesuffix("_nchwc") or str(position + 1),
            operator=str(event.args.get("op_name", "?")),
            input_shape=inputs[0] if inputs else (),
            weights_shape=weights if len(weights) > 1 else (),
            output_shape=outputs[0] if outputs else (),
            costs={str(threads): median([one.dur for one in events[position::per_run]])},
        )


def _shapes(listed: object) -> list[tuple[int, ...]]:
    """Return the shapes in a list such as `[{"float": [1, 8, 16, 16]}]`; none of one in another form."""
    try:
        tensors = msgspec.convert(listed, list[dict[str, tuple[int, ...]]])
    except msgspec.ValidationError:
        return []
    return [next(iter(one.values()), ()) for one in tensors]


def _side_by_side(runs: Sequence[dict[Kind, Cost]]) -> dict[Kind, Cost]:
    """Combine the costs of several processes, which run the same operators."""
    return {
        kind: Cost(nodes=cost.nodes, processes=tuple(run[kind].processes[0] for run in runs))
        for kind, cost in runs[0].items()
    }
