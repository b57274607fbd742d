"""`profile` on this machine: time by operator, as the engine tells the times of its layers."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from edgekit._process import usable_cores
from edgekit.convert.manifest import verify_files
from edgekit.core.artifact import Artifact
from edgekit.core.processes import ProcessWatch
from edgekit.core.profile import Cost, Kind, Layer, Profile, Unit, layer_shares, shares
from edgekit.core.spec import Precision
from edgekit.core.stats import median
from edgekit.engines.registry import PREDICT_ENGINE, host_side, profiled_engines
from edgekit.errors import UnsupportedError, UsageError
from edgekit.judge.verdicts import disturbances
from edgekit.runners.protocol import LayersTimed
from edgekit.targets.environment import read_host_environment
from edgekit.targets.target import HostTarget, Subject, load_request

logger = logging.getLogger("edgekit")

DEFAULT_THREADS = (1, 2, 4)
WARMUP_RUNS = 10
PROCESSES = 3


class _Profiled(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes and microseconds of one inference of one process, by operator and node by node."""

    engine_version: str
    costs: dict[Kind, Cost]
    layers: tuple[Layer, ...]


def profile_host(
    target: HostTarget,
    subject: Subject,
    *,
    engine: str,
    precision: Precision,
    threads: Sequence[int] | None,
    repeats: int,
) -> Profile:
    """Profile an artifact on this machine in several fresh processes for each number of threads.

    Args:
        target: This machine.
        precision: Precision of the artifact to profile.
        threads: Numbers of threads; None for those of `DEFAULT_THREADS` that this machine has cores for.
        repeats: Number of profiled inferences of each process.

    Raises:
        UsageError: There are more threads than cores that this process may use.
        UnsupportedError: The engine does not time its layers, or does not compute in the precision.
        ToolError: The engine is not installed.
        InputError: The artifact is missing or damaged.
        RunnerError: A process failed, used another number of threads, or timed an unusable number of layers.
    """
    name = subject.manifest.name
    if not host_side(engine).layer_times:
        able = ", ".join(profiled_engines())
        raise UnsupportedError(
            f"profiling {name} on {engine}: edgekit gets no times of layers from it",
            hint=f"edgekit profile {subject.word} --engine {PREDICT_ENGINE}  (any of {able})",
        )
    numbers = _available(name, threads)
    target.prepare(engine)
    artifact = subject.artifact(target.artifact_kind(engine, precision))
    verify_files(subject.manifest, subject.directory, [artifact.kind])
    watch = ProcessWatch()
    readings = [read_host_environment(watch)]
    profiled: dict[int, list[_Profiled]] = {number: [] for number in numbers}
    # Take the numbers of threads in turns, so that changes of the machine affect all of them.
    for turn in range(PROCESSES):
        logger.info("profiling %s: processes %d of %d", name, turn + 1, PROCESSES)
        for number in numbers:
            profiled[number].append(_profile(target, subject, artifact, engine, number, repeats))
            readings.append(read_host_environment(watch))
    busy = sorted({process for reading in readings for process in reading.busy_processes or ()})
    after = msgspec.structs.replace(readings[-1], busy_processes=tuple(busy))
    reasons = tuple(disturbances(readings[0], after))
    costs = {number: _side_by_side([one.costs for one in runs]) for number, runs in profiled.items()}
    return Profile(
        model=name,
        target=target.info,
        artifact_sha256=artifact.sha256,
        engine=engine,
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
    cores = usable_cores()
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


def _profile(
    target: HostTarget, subject: Subject, artifact: Artifact, engine: str, threads: int, repeats: int
) -> _Profiled:
    """Profile `repeats` inferences after the warm-up, in a process of their own."""
    label = f"profiling {subject.manifest.name} on {engine} with {threads} thread(s)"
    options = target.options(engine, artifact.kind.precision, {})
    request = load_request(
        target,
        subject,
        artifact,
        batch_size=subject.fixed_batch or 1,
        threads=threads,
        options=options,
    )
    with target.session(engine, label, remake=subject.remake) as session:
        loaded = session.load(request)
        timed = session.layer_times(WARMUP_RUNS + repeats)
    timed = msgspec.structs.replace(timed, microseconds=timed.microseconds[WARMUP_RUNS:])
    return _Profiled(
        engine_version=loaded.engine_version,
        costs=_sum_up(timed),
        layers=_layers(timed, threads),
    )


def _sum_up(timed: LayersTimed) -> dict[Kind, Cost]:
    """Return nodes and median microseconds of one inference, by operator."""
    positions: dict[str, list[int]] = {}
    for position, layer in enumerate(timed.layers):
        positions.setdefault(layer.operator, []).append(position)
    return {
        (operator, None): Cost(
            nodes=len(own), processes=(median([sum(run[one] for one in own) for run in timed.microseconds]),)
        )
        for operator, own in positions.items()
    }


def _layers(timed: LayersTimed, threads: int) -> tuple[Layer, ...]:
    """Return the layers of one inference with their median microseconds, in order."""
    return tuple(
        Layer(
            name=layer.name,
            operator=layer.operator,
            input_shape=layer.input_shape,
            weights_shape=layer.weights_shape,
            output_shape=layer.output_shape,
            costs={str(threads): median(column)},
        )
        for layer, column in zip(timed.layers, zip(*timed.microseconds, strict=True), strict=True)
    )


def _side_by_side(runs: Sequence[dict[Kind, Cost]]) -> dict[Kind, Cost]:
    """Combine the costs of several processes, which run the same operators."""
    return {
        kind: Cost(nodes=cost.nodes, processes=tuple(run[kind].processes[0] for run in runs))
        for kind, cost in runs[0].items()
    }
