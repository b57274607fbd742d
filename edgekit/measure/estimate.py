"""`estimate`: latency on a phone without the phone, from exact instruction counts."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit.core.device import DeviceInfo
from edgekit.core.measurement import Point, Result, Status, Verdict
from edgekit.core.spec import Precision
from edgekit.errors import EdgekitError, InputError, RunnerError, UsageError
from edgekit.measure.bench import BenchOptions, bench
from edgekit.measure.device import opened_targets
from edgekit.measure.soc_model import Fit, FitPoint, NetworkCount, SocModel, fit_points, load_counts
from edgekit.measure.sweep import ShowProgress
from edgekit.measure.target import Subject
from edgekit.runners.engines import artifact_kind, device_side
from edgekit.virtual.soc import list_socs
from edgekit.zoo.registry import find_model, model_names

logger = logging.getLogger("edgekit")

# How far outside the fitted range a network may be before that is said.
RANGE_MARGIN = 1.25
# A leave-one-out error from which on the fit itself is said to be poor.
POOR_FIT = 0.2


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """One estimated latency with its interval, ms; `reasons` say why the interval is wide."""

    threads: int
    latency_ms: float
    low_ms: float
    high_ms: float
    instructions_millions: float
    reasons: tuple[str, ...] = ()


class EstimateReport(msgspec.Struct, frozen=True, kw_only=True):
    """The document of `estimate --json`."""

    model: str
    soc: str
    precision: str
    estimated: bool = True
    source: str
    runtime: str | None
    estimates: tuple[Estimate, ...]


def known_count(name: str, precision: Precision) -> NetworkCount | None:
    """The shipped count of a model of the zoo; weights make no difference, the network does."""
    counts = load_counts()
    found = {(one.model, one.precision): one for one in counts.networks}
    twins = [name]
    if name in model_names():
        card = find_model(name)
        cards = [find_model(other) for other in model_names()]
        twins += [
            other.name
            for other in cards
            if other.network is not None
            and (other.network, other.num_classes) == (card.network, card.num_classes)
        ]
    for twin in twins:
        if (twin, precision.value) in found:
            one = found[twin, precision.value]
            return one if one.runtime else msgspec.structs.replace(one, runtime=counts.runtime)
    return None


def estimate(soc: SocModel, count: NetworkCount, threads: Sequence[int]) -> EstimateReport:
    """Milliseconds with their interval at each number of threads.

    Raises:
        UsageError: The SoC's model does not know a number of threads.
        InputError: The network was not counted at one.
    """
    return EstimateReport(
        model=count.model,
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
            hint=f"edgekit estimate {count.model} --count --threads {threads}",
        )
    error, reasons = fit.leave_one_out_error, []
    if count.precision != soc.precision:
        error = max(error, soc.other_precision_error)
        reasons.append(f"{count.precision}: fitted on {soc.precision}; less sure")
    elif not _is_fitted(count.model, soc):
        error = max(error, soc.other_error)
        reasons.append("the network is not among those that it was fitted on")
    if fit.leave_one_out_error > POOR_FIT:
        reasons.append(f"the fit is poor: {fit.leave_one_out_error:.0%} off on a network left out")
    far = _far_from(fit, millions, count.nb_mb)
    if far:
        error *= 2
        reasons.append(f"far from what it was fitted on: {' and '.join(far)}")
    latency = fit.ms_per_million * millions + fit.ms_per_mb * count.nb_mb
    return Estimate(
        threads=threads,
        latency_ms=latency,
        low_ms=latency / (1 + error),
        high_ms=latency * (1 + error),
        instructions_millions=millions,
        reasons=tuple(reasons),
    )


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


def _is_fitted(name: str, soc: SocModel) -> bool:
    return name in soc.fitted_on


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
            output=work / "counts.json",
        )
        with opened_targets([instance.config.address], install=install) as targets:
            outcome = bench(targets[0], [subject], options, show=show)
    finally:
        with contextlib.suppress(EdgekitError):
            lifecycle.stop(instance.config.serial)
    if outcome.interrupted:
        raise KeyboardInterrupt
    return NetworkCount(
        model=subject.manifest.name,
        precision=precision.value,
        nb_mb=artifact.files[0].size_bytes / 1e6,
        millions={str(point.requested_threads): _millions(point) for point in outcome.result.points},
        runtime=f"Paddle Lite {outcome.result.points[0].engine_version}",
    )


def _millions(point: Point) -> float:
    if point.instruction_count is None:
        error = point.error
        raise RunnerError(
            f"counting {point.model} at {point.requested_threads} threads: "
            f"{error.message if error else point.status.value}",
            hint=error.hint if error else None,
        )
    return round(point.instruction_count.main_thread / 1e6, 3)


def fit_results(results: Sequence[Result], name: str, *, virtual_soc: str | None = None) -> SocModel:
    """A model of the user's own phone from measured points of networks whose instructions are known.

    Args:
        virtual_soc: The virtual device's SoC that is like the phone's; None where nobody knows one.

    Raises:
        UsageError: There is no such virtual SoC.
        InputError: Results that are no one phone's in one setting, or too few networks.
    """
    if virtual_soc is not None and virtual_soc not in list_socs():
        raise UsageError(
            f"--virtual-soc {virtual_soc}: no such chip", hint=f"one of {', '.join(list_socs())}"
        )
    _require_one_phone(results)
    measured = [point for result in results for point in result.points if _is_usable(point)]
    verified = [point for point in measured if point.verdict is not Verdict.UNVERIFIED]
    _warn_of("left out, they are unverified", Verdict.UNVERIFIED, of=measured)
    _warn_of("measure these again, they are not sure", Verdict.THROTTLED, Verdict.UNSTABLE, of=verified)
    setting = _only_setting(verified)
    points = _fit_points(verified)
    target = results[0].target
    fits = fit_points(points)
    known_error = max(one.leave_one_out_error for one in fits)
    return SocModel(
        name=name,
        title=target.soc or target.model or target.serial,
        virtual_soc=virtual_soc,
        engine="paddlelite",
        precision="fp32",
        source=", ".join([*(result.run_id for result in results), *setting]),
        fitted_on=tuple(dict.fromkeys(point.model for point in points)),
        other_error=max(0.10, known_error),
        other_precision_error=max(0.17, known_error),
        fits=fits,
    )


def _require_one_phone(results: Sequence[Result]) -> None:
    for result in results:
        target = result.target
        if target.emulated:
            raise InputError(
                f"fitting to {result.run_id}: measured on an emulated device, which has no milliseconds",
                hint="edgekit bench … --device PHONE",
            )
        if target.transport == "local":
            raise InputError(
                f"fitting to {result.run_id}: measured on a host ({target.soc or target.serial}), no device",
                hint="edgekit bench … --device PHONE",
            )
    phones = dict.fromkeys(_phone(result.target) for result in results)
    if len(phones) > 1:
        raise InputError(
            f"fitting to results of {len(phones)} devices, {' and '.join(phones)}: a model is one device's",
            hint="edgekit estimate --fit FILE -o NAME.toml  for each",
        )


def _phone(target: DeviceInfo) -> str:
    """What equal phones have in common, by whatever way they are attached."""
    return f"{target.model} ({target.soc})" if target.model and target.soc else target.serial


def _is_usable(point: Point) -> bool:
    asked = (point.engine, point.precision, point.batch_size)
    return point.status is Status.DONE and asked == ("paddlelite", Precision.FP32, 1)


def _warn_of(what: str, *verdicts: Verdict, of: Sequence[Point]) -> None:
    named = [
        f"{point.model} at {point.requested_threads} threads "
        f"({point.verdict.value}: {'; '.join(point.reasons)})"
        for point in of
        if point.verdict in verdicts
    ]
    if named:
        logger.warning("fitting: %s: %s", what, ", ".join(named))


def _only_setting(points: Sequence[Point]) -> tuple[str, ...]:
    """Power mode and cores as they were asked for; raises InputError where points differ in them."""
    settings = {_setting(point) for point in points}
    if len(settings) > 1:
        named = sorted(" ".join(setting) or "none asked for" for setting in settings)
        raise InputError(
            f"fitting to points of several power modes or cores ({', '.join(named)}): a model is of one",
            hint="edgekit bench … --device PHONE --power-mode HIGH",
        )
    return settings.pop() if settings else ()


def _setting(point: Point) -> tuple[str, ...]:
    mode = () if point.power_mode is None else (f"--power-mode {point.power_mode.value}",)
    return mode if point.requested_cores is None else (*mode, f"--cores {point.requested_cores}")


def _fit_points(points: Sequence[Point]) -> list[FitPoint]:
    """The points whose networks were counted; those of one network have one name."""
    made = []
    for point in points:
        count = known_count(point.model, point.precision)
        millions = None if count is None else count.millions.get(str(point.requested_threads))
        if count is not None and millions is not None and point.latency_ns is not None:
            made.append(
                FitPoint(
                    model=count.model,
                    threads=point.requested_threads,
                    millions=millions,
                    nb_mb=count.nb_mb,
                    latency_ms=point.latency_ns / 1e6,
                )
            )
    return made
