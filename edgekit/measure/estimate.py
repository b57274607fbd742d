"""`estimate`: latency on a phone without the phone, from exact instruction counts."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit.convert.manifest import DEFAULT_ROOT, find_artifacts
from edgekit.core.artifact import MANIFEST_NAME, ArtifactKind
from edgekit.core.device import DeviceInfo
from edgekit.core.measurement import Point, Result, Status, Verdict
from edgekit.core.spec import ModelSpec, Precision
from edgekit.errors import EdgekitError, InputError, RunnerError, UsageError
from edgekit.measure.bench import BenchOptions, bench
from edgekit.measure.device import opened_targets
from edgekit.measure.soc_model import Fit, FitPoint, NetworkCount, SocModel, fit_points, load_counts
from edgekit.measure.sweep import ShowProgress
from edgekit.measure.target import Subject
from edgekit.runners.engines import artifact_kind, device_side
from edgekit.virtual.soc import list_socs
from edgekit.zoo.registry import find_model, list_models, model_names

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
    """The document of `estimate --json`; `network` as of `NetworkCount`."""

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
    return Subject(directory=directory, manifest=manifest)


def known_count(asked: str | Subject, precision: Precision) -> NetworkCount | None:
    """The shipped count of a network of the zoo; weights make no difference, input and classes do.

    Args:
        asked: A model of the zoo as its card says, or artifacts.
    """
    name, model = (asked, asked) if isinstance(asked, str) else (asked.manifest.name, _zoo_model(asked))
    counts = load_counts()
    for one in counts.networks:
        if one.precision == precision.value and one.model in _twins(model):
            runtime = one.runtime or counts.runtime
            return msgspec.structs.replace(one, model=name, network=one.model, runtime=runtime)
    return None


def counting_commands(name: str, subject: Subject | None, precision: Precision) -> str:
    """What to run to have a model counted, from what there is of it here on.

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
    """The models of the zoo that compute the same as this one with other weights, itself included."""
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
            hint=f"--count --threads {threads}  counts it",
        )
    error, reasons = fit.leave_one_out_error, []
    if count.precision != soc.precision:
        error = max(error, soc.other_precision_error)
        reasons.append(f"{count.precision}: fitted on {soc.precision}; less sure")
    elif count.network not in soc.fitted_on:
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
        fitted_on=tuple(dict.fromkeys(point.network for point in points)),
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
    """The points of networks that were counted; what else there is, and what is taken on trust, is named."""
    made, unknown, trusted = [], [], []
    for point in points:
        subject = _measured(point)
        count = known_count(subject or point.model, point.precision)
        millions = None if count is None else count.millions.get(str(point.requested_threads))
        if count is None or count.network is None or millions is None or point.latency_ns is None:
            unknown.append(point.model)
            continue
        if subject is None:
            trusted.append(point.model)
        made.append(
            FitPoint(
                network=count.network,
                threads=point.requested_threads,
                millions=millions,
                nb_mb=count.nb_mb,
                latency_ms=point.latency_ns / 1e6,
            )
        )
    for what, models in (
        ("left out, instructions are not known", unknown),
        ("taken for the zoo's at the input and classes of their cards, by name", trusted),
    ):
        if models:
            logger.warning("fitting: %s: %s", what, ", ".join(dict.fromkeys(models)))
    return made


def _measured(point: Point) -> Subject | None:
    """The artifacts that a point was measured on, where they are still exported here."""
    subject = exported(point.model)
    if subject is None or point.artifact is None:
        return None
    artifact = subject.manifest.artifacts.get(point.artifact.kind)
    return subject if artifact is not None and artifact.sha256 == point.artifact.sha256 else None
