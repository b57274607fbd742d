"""`estimate`: latency on a phone without the phone, from exact instruction counts."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit.bench.bench import bench
from edgekit.bench.sweep import ShowProgress
from edgekit.convert.manifest import DEFAULT_ROOT, find_artifacts
from edgekit.core.artifact import MANIFEST_NAME, ArtifactKind
from edgekit.core.bench_options import BenchOptions
from edgekit.core.measurement import Point
from edgekit.core.spec import ModelSpec, Precision
from edgekit.engines.registry import artifact_kind, device_side
from edgekit.errors import (
    DeviceError,
    DeviceLostError,
    EdgekitError,
    InputError,
    RunnerError,
    ToolError,
    UsageError,
)
from edgekit.estimate.soc_model import (
    COEFFICIENTS,
    ENOUGH_NETWORKS,
    LEVEL,
    Fit,
    NetworkCount,
    SocModel,
    load_counts,
    prediction_error,
)
from edgekit.targets.device import opened_targets
from edgekit.targets.target import Subject
from edgekit.zoo.registry import find_model, list_models, model_names

# Raised with every change of the fields of `EstimateReport`.
ESTIMATE_SCHEMA_VERSION = 1
# How far outside the fitted range a network may be before that is said.
RANGE_MARGIN = 1.25
FAR = "far from what it was fitted on: "
# A leave-one-out error from which on the fit itself is said to be poor.
POOR_FIT = 0.2


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """One estimated latency with its interval, ms.

    Attributes:
        level: Share of networks whose latency the interval holds, e.g. 0.9; None where its width is a guess
            or the network lies far outside of the fit.
        networks: How many networks the width was learned from; 0 where it is a guess.
        interval: The kind of interval, in words.
        reasons: Why the interval is wide.
    """

    threads: int
    latency_ms: float
    low_ms: float
    high_ms: float
    level: float | None
    networks: int
    interval: str
    instructions_millions: float
    reasons: tuple[str, ...] = ()


class EstimateReport(msgspec.Struct, frozen=True, kw_only=True):
    """The document of `estimate --json`; see `NetworkCount` for `network`."""

    schema_version: int = ESTIMATE_SCHEMA_VERSION
    model: str
    network: str | None
    soc: str
    precision: str
    estimated: bool = True
    source: str
    runtime: str | None
    estimates: tuple[Estimate, ...]


def exported(name: str) -> Subject | None:
    """The artifacts at a path or of a name; None for a name under which nothing is exported here.

    Raises:
        InputError: There are none at the path, or their manifest cannot be read.
    """
    try:
        directory, manifest = find_artifacts(name)
    except InputError:
        places = (DEFAULT_ROOT / name, Path(name))
        if Path(name).name != name or any((place / MANIFEST_NAME).exists() for place in places):
            raise
        return None
    # Instructions are counted whatever they compute.
    return Subject(directory=directory, manifest=manifest, anyway=True)


def known_count(asked: str | Subject, precision: Precision) -> NetworkCount | None:
    """The shipped count of a network of the zoo; weights make no difference, input and classes do.

    Args:
        asked: A model of the zoo as its card says, or artifacts.
    """
    name, model = (asked, asked) if isinstance(asked, str) else (asked.manifest.name, _zoo_model(asked))
    counts, twins = load_counts(), _twins(model)
    for one in counts.networks:
        if one.precision == precision.value and one.model in twins:
            runtime = one.runtime or counts.runtime
            return msgspec.structs.replace(one, model=name, network=one.model, runtime=runtime)
    return None


def counting_commands(name: str, subject: Subject | None, precision: Precision) -> str:
    """Commands that have a model counted; those that are done already are left out.

    Raises:
        InputError: Nothing is exported under the name, and the zoo has no such model.
    """
    commands = []
    if subject is None and find_model(name).network is not None:
        commands = [f"edgekit export {name}"]
    elif subject is None:
        commands = [f"edgekit fetch {name}", f"edgekit import ARCHIVE --name {name}"]
    has_int8 = subject is not None and subject.manifest.artifact(ArtifactKind.NB_ARM_INT8) is not None
    if precision is Precision.INT8 and not has_int8:
        commands.append(f"edgekit quantize {name}")
    return "; ".join([*commands, f"edgekit estimate {name} --precision {precision.value} --count"])


def _zoo_model(subject: Subject) -> str | None:
    """The model of the zoo that artifacts were exported as, with the input and the classes of its card."""
    manifest = subject.manifest
    if manifest.model not in model_names():
        return None
    card = find_model(manifest.model)
    as_card = (subject.input_shape, manifest.num_classes) == (card.input_shape, card.num_classes)
    return card.name if as_card else None


def _twins(model: str | None) -> tuple[str | None, ...]:
    """Return the models of the zoo with this model's network, itself included."""
    if model not in model_names():
        return (model,)
    card = find_model(model)
    if card.network is None:
        return (model,)
    return tuple(one.name for one in list_models() if _computes(one) == _computes(card))


def _computes(card: ModelSpec) -> tuple[object, ...]:
    return card.network, card.input_shape, card.num_classes


def estimate(soc: SocModel, count: NetworkCount, threads: Sequence[int]) -> EstimateReport:
    """Milliseconds with their interval at each number of threads.

    Raises:
        UsageError: The SoC's model does not know a number of threads.
        InputError: The network was not counted at one.
    """
    return EstimateReport(
        model=count.model,
        network=count.network,
        soc=soc.name,
        precision=count.precision,
        source=soc.source,
        runtime=count.runtime,
        estimates=tuple(_estimate(soc, count, number) for number in threads),
    )


def _estimate(soc: SocModel, count: NetworkCount, threads: int) -> Estimate:
    fit = soc.fit(threads)
    millions = count.millions.get(str(threads))
    if millions is None:
        raise InputError(
            f"estimating {count.model} at {threads} threads: it was counted at {', '.join(count.millions)}",
            hint=f"edgekit estimate {count.model} --precision {count.precision} --count --threads {threads}",
        )
    width, reasons = _width(soc, fit, count), []
    if count.precision != soc.precision:
        reasons.append(f"{count.precision}: fitted on {soc.precision}; less sure")
    elif count.network not in soc.fitted_on:
        reasons.append("the network is not among those that it was fitted on")
    if fit.networks < ENOUGH_NETWORKS:
        reasons.append(f"fitted to {fit.networks} networks only: measure {ENOUGH_NETWORKS} or more")
    if fit.leave_one_out_error > POOR_FIT:
        reasons.append(f"the fit is poor: {fit.leave_one_out_error:.0%} off on a network left out")
    far = _far_from(fit, millions, count.nb_mb)
    if far:
        width = msgspec.structs.replace(
            width, error=2 * width.error, level=None, interval=f"twice {width.interval}"
        )
        reasons.append(FAR + " and ".join(far))
    latency = fit.ms_per_million * millions + fit.ms_per_mb * count.nb_mb
    return Estimate(
        threads=threads,
        latency_ms=latency,
        low_ms=latency / (1 + width.error),
        high_ms=latency * (1 + width.error),
        level=width.level,
        networks=width.networks,
        interval=width.interval,
        instructions_millions=millions,
        reasons=tuple(reasons),
    )


class Width(msgspec.Struct, frozen=True, kw_only=True):
    """Width of an interval and its origin; see `Estimate`.

    Attributes:
        error: The ends are the estimate over and times 1 + error.
    """

    error: float
    level: float | None
    networks: int
    interval: str


def _width(soc: SocModel, fit: Fit, count: NetworkCount) -> Width:
    """The widest interval that applies to the network."""
    widths = [
        Width(
            error=prediction_error(fit.leave_one_out_rms, fit.networks - COEFFICIENTS),
            level=LEVEL,
            networks=fit.networks,
            interval=f"a {LEVEL:.0%} prediction interval from {fit.networks} networks, "
            "each left out of the fit",
        )
    ]
    like_fitted = count.precision == soc.precision
    is_fitted = like_fitted and count.network in soc.fitted_on
    seen = [one for one in soc.unfitted if (one.precision, one.threads) == (count.precision, fit.threads)]
    if not is_fitted and seen:
        [one] = seen
        widths.append(
            Width(
                error=prediction_error(one.rms, one.networks),
                level=LEVEL,
                networks=one.networks,
                interval=f"a {LEVEL:.0%} prediction interval from {one.networks} networks "
                "that it was not fitted on",
            )
        )
    elif not is_fitted or fit.networks < ENOUGH_NETWORKS:
        error = soc.other_error if like_fitted else soc.other_precision_error
        widths.append(Width(error=error, level=None, networks=0, interval=f"±{error:.0%}, a guess"))
    return max(widths, key=lambda one: one.error)


def _far_from(fit: Fit, millions: float, nb_mb: float) -> list[str]:
    """The fitted ranges that a network lies outside of."""
    far = []
    low, high = fit.millions
    if not low / RANGE_MARGIN <= millions <= high * RANGE_MARGIN:
        far.append(f"{low:g} to {high:g} M instructions")
    # Below, the term of the size only vanishes: published int8 networks of a third of the smallest fitted
    # size are met within 8 %.
    low, high = fit.nb_mb
    if nb_mb > high * RANGE_MARGIN:
        far.append(f"{low:g} to {high:g} MB")
    return far


def count_network(
    subject: Subject,
    soc: SocModel,
    *,
    precision: Precision,
    threads: Sequence[int],
    work: Path,
    show: ShowProgress,
    install: bool = True,
) -> NetworkCount:
    """Count a model's instructions on a virtual device under the SoC's identity, started for this.

    Args:
        work: Where the counting's result file is left.

    Raises:
        UsageError: No virtual device stands for the SoC.
        ToolError: The virtual device or the Paddle Lite library cannot be had.
        RunnerError: The counting failed.
    """
    from edgekit.virtual import lifecycle

    if soc.virtual_soc is None:
        raise UsageError(
            f"counting {subject.manifest.name} for {soc.title}: its model names no virtual device's SoC",
            hint="--virtual-soc NAME, one of: edgekit virtual socs",
        )
    kind = artifact_kind(soc.engine, device_side(soc.engine), precision)
    artifact = subject.artifact(kind)
    instance = lifecycle.start(soc=soc.virtual_soc)
    try:
        options = BenchOptions(
            engines=(soc.engine,),
            precisions=(precision,),
            threads=tuple(threads),
            output=str(work / "counts.json"),
        )
        with opened_targets([instance.config.address], install=install, other_engines=False) as targets:
            outcome = bench(targets[0], [subject], options, show=show)
    finally:
        with contextlib.suppress(EdgekitError):
            lifecycle.stop(instance.config.serial)
    if outcome.interrupted:
        raise KeyboardInterrupt
    known = known_count(subject, precision)
    return NetworkCount(
        model=subject.manifest.name,
        network=None if known is None else known.network,
        precision=precision.value,
        nb_mb=artifact.files[0].size_bytes / 1e6,
        millions={str(point.requested_threads): _millions(point) for point in outcome.result.points},
        runtime=f"Paddle Lite {outcome.result.points[0].engine_version}",
    )


def _millions(point: Point) -> float:
    if point.instruction_count is None:
        error = point.error
        causes = {one.exit_code: one for one in (InputError, ToolError, DeviceError, DeviceLostError)}
        cause = causes.get(error.exit_code, RunnerError) if error else RunnerError
        raise cause(
            f"counting {point.model} at {point.requested_threads} threads: "
            f"{error.message if error else point.status.value}",
            hint=error.hint if error else None,
        )
    return round(point.instruction_count.main_thread / 1e6, 3)
