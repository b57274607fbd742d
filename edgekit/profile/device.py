"""`profile` on the virtual device: exact instructions of each of Paddle Lite's operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgekit.bench.bench import timing_for
from edgekit.convert.formats.nb import read_operators
from edgekit.convert.manifest import verify_files
from edgekit.core.bench_options import BenchOptions
from edgekit.core.profile import Cost, Kind, Layer, Profile, Unit, layer_shares, shares
from edgekit.core.spec import Precision
from edgekit.errors import RunnerError, UnsupportedError
from edgekit.runners.protocol import Run
from edgekit.targets.device import DeviceTarget
from edgekit.targets.target import Subject, load_request
from edgekit.toolchain.build.kernels import KernelEntry, kernel_entries
from edgekit.toolchain.build.paddlelite_runtime import LIBRARY
from edgekit.virtual.counting.counting import Stretch, entry_list

ENGINE = "paddlelite"
# Instructions before the first operator: setting the input and starting the program.
OUTSIDE: Kind = ("(before the first operator)", None)


def profile_device(
    target: DeviceTarget, subject: Subject, *, precision: Precision, threads: Sequence[int]
) -> Profile:
    """Count the instructions of each operator of Paddle Lite's program.

    An operator's count runs from the beginning of its kernel to the beginning of the next kernel, and so
    includes the next operator's check of shapes.

    Args:
        target: A virtual device.
        precision: Precision of the artifact to profile.
        threads: Numbers of threads; each is counted in a process of its own.

    Raises:
        UnsupportedError: The device does not count instructions.
        InputError: The artifact is missing or damaged.
        ToolError: Paddle Lite's library is missing, or has no type information.
        RunnerError: The counting failed, or the number of threads in effect was another.
    """
    name, serial = subject.manifest.name, target.info.serial
    if not target.counts_instructions:
        raise UnsupportedError(
            f"profiling {name} on {serial}: only the virtual device counts instructions by operator",
            hint=f"edgekit bench {subject.word} --device {serial}  times the whole inference",
        )
    artifact = subject.artifact(target.artifact_kind(ENGINE, precision))
    verify_files(subject.manifest, subject.directory, [artifact.kind])
    operators = read_operators(subject.directory / artifact.main_file)
    kernels = kernel_entries(target.bundle_file(ENGINE, LIBRARY))
    entries = entry_list(LIBRARY, kernels)
    timing = timing_for(target.info, BenchOptions())
    costs: dict[int, dict[Kind, Cost]] = {}
    layers: dict[int, list[tuple[Layer, ...]]] = {}
    version = ""
    for number in sorted(set(threads)):
        label = f"profiling {name} ({precision.value}, {number} threads)"
        with target.session(ENGINE, label, counted=True, entries=entries) as session:
            loaded = session.load(load_request(target, subject, artifact, threads=number))
            session.run(
                Run(
                    warmup=timing.warmup,
                    warmup_ns=0,
                    repeats=timing.repeats,
                    min_ns=0,
                    max_ns=round(timing.max_s * 1e9),
                    mark=True,
                )
            )
        if loaded.effective_threads not in (None, number):
            raise RunnerError(f"{label}: {loaded.effective_threads} took effect")
        version = loaded.engine_version
        nodes = _nodes(target.stretches(), kernels, operators, name)
        costs[number] = _sum_up(nodes)
        layers[number] = [_layers(nodes, number)]
    return Profile(
        model=name,
        target=target.info,
        artifact_sha256=artifact.sha256,
        engine=ENGINE,
        engine_version=version,
        precision=precision.value,
        unit=Unit.INSTRUCTIONS,
        processes=1,
        repeats=timing.repeats,
        threads=tuple(costs),
        operators=shares(costs),
        layers=layer_shares(layers),
    )


Node = tuple[str, "str | None", int]
"""Operator, kernel and instructions."""


def _nodes(
    stretches: Sequence[Stretch], kernels: Mapping[int, KernelEntry], operators: Sequence[str], name: str
) -> list[Node]:
    """Return the kernels of one inference in order; the first node is the time before the first operator."""
    nodes: list[tuple[str | None, int]] = []
    for stretch in stretches:
        kernel = None if stretch.entry is None else kernels[stretch.entry]
        if kernel is None or kernel.is_operator:
            nodes.append((None if kernel is None else kernel.name, stretch.main_thread))
        else:
            # A kernel that a convolution calls for its arithmetic counts towards the convolution.
            nodes[-1] = (kernel.name, nodes[-1][1] + stretch.main_thread)
    if len(nodes) != 1 + len(operators):
        raise RunnerError(
            f"profiling {name}: its program has {len(operators)} operators, {len(nodes) - 1} kernels ran"
        )
    ran = zip(operators, nodes[1:], strict=True)
    return [(*OUTSIDE, nodes[0][1]), *((operator, kernel, cost) for operator, (kernel, cost) in ran)]


def _sum_up(nodes: Sequence[Node]) -> dict[Kind, Cost]:
    """Return nodes and instructions of one inference, by operator and kernel."""
    summed: dict[Kind, tuple[int, int]] = {}
    for operator, kernel, instructions in nodes:
        count, cost = summed.get((operator, kernel), (0, 0))
        summed[operator, kernel] = (count + ((operator, kernel) != OUTSIDE), cost + instructions)
    return {kind: Cost(nodes=count, processes=(cost,)) for kind, (count, cost) in summed.items()}


def _layers(nodes: Sequence[Node], threads: int) -> tuple[Layer, ...]:
    """Return the nodes by number; Paddle Lite's program names none."""
    return tuple(
        Layer(name=str(number), operator=operator, kernel=kernel, costs={str(threads): float(cost)})
        for number, (operator, kernel, cost) in enumerate(nodes)
    )
