"""`estimate --fit` and `--adapt`: the model of the user's own phone, from points that were measured on it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import msgspec

from edgekit.core.measurement import Point, Result, Status, Verdict
from edgekit.core.spec import Precision
from edgekit.errors import InputError, UsageError
from edgekit.estimate.adapt import adapt, nearest_soc, of_kind
from edgekit.estimate.cores import WITHOUT_DOT_PRODUCT, is_old, takes_dot_products
from edgekit.estimate.estimate import exported, known_count
from edgekit.estimate.least_squares import FitPoint, fit_points
from edgekit.estimate.phone import phone_of, require_phone
from edgekit.estimate.soc_model import SocModel, load_soc, shipped_socs
from edgekit.targets.target import Subject
from edgekit.virtual.machine.soc import list_socs
from edgekit.virtual.machine.soc import load_soc as load_virtual

logger = logging.getLogger("edgekit")

AUTO = "auto"
# By how much float models with int8's counts missed the page's int8 networks where the cores have no dot
# products, at most: scripts/fit_socs.py.
WITHOUT_DOT_PRODUCT_ERROR = 0.38


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
    points, source = _usable_points(results)
    fits = fit_points(points)
    known_error = max(one.leave_one_out_error for one in fits)
    model = SocModel(
        name=name,
        title=_title(results),
        virtual_soc=virtual_soc,
        engine="paddlelite",
        precision="fp32",
        source=source,
        fitted_on=tuple(dict.fromkeys(point.network for point in points)),
        other_error=max(0.10, known_error),
        other_precision_error=max(0.17, known_error),
        fits=fits,
    )
    return _with_kernels(model, _takes_dot_products(results, virtual_soc))


def adapt_results(results: Sequence[Result], name: str, base: str) -> SocModel:
    """The model of a SoC, adapted to a new phone by measured points of one to three networks.

    Args:
        base: A SoC that `load_soc` takes, or `auto` for the shipped one with cores of the phone's kind that
            needs the least change.

    Raises:
        UsageError: There is no such SoC.
        InputError: Results that are no one phone's in one setting, or too few or too many networks.
    """
    points, source = _usable_points(results)
    part = _part(results)
    known = of_kind([load_soc(one) for one in shipped_socs()], part) if base == AUTO else [load_soc(base)]
    if is_old(part) and len({point.network for point in points}) == 1:
        logger.warning(
            "adapting by one network: on cores like these (%s) it says the speed, not how long reading the "
            "weights takes; measure a small and a large network as well",
            part,
        )
    model = nearest_soc(known, points)
    adapted = adapt(model, points, name=name, title=_title(results), source=source, part=part)
    return _with_kernels(adapted, _takes_dot_products(results, None))


def _takes_dot_products(results: Sequence[Result], virtual_soc: str | None) -> bool | None:
    """Return whether the phone's int8 kernels use dot products; None where neither phone nor chip tells."""
    known = takes_dot_products(one.part for one in results[0].target.clusters)
    if known is None and virtual_soc is not None:
        return takes_dot_products(f"{one.part:#x}" for one in load_virtual(virtual_soc).clusters)
    return known


def _with_kernels(model: SocModel, dot_products: bool | None) -> SocModel:
    """Return a user's model with int8's counts of its cores' kernels; without int8 where they are unknown."""
    if dot_products is None:
        known = [one for one in model.precisions or [each.value for each in Precision] if one != "int8"]
        return msgspec.structs.replace(model, precisions=tuple(known))
    if dot_products:
        return model
    return msgspec.structs.replace(
        model,
        counted_on={Precision.INT8.value: WITHOUT_DOT_PRODUCT},
        other_precision_error=max(WITHOUT_DOT_PRODUCT_ERROR, model.other_precision_error),
    )


def _usable_points(results: Sequence[Result]) -> tuple[list[FitPoint], str]:
    """Return the points that may be fitted to, and where they come from; what is left out is warned of."""
    _require_one_phone(results)
    measured = [point for result in results for point in result.points if _is_usable(point)]
    verified = [point for point in measured if point.verdict is not Verdict.UNVERIFIED]
    _warn_of("left out, they are unverified", Verdict.UNVERIFIED, of=measured)
    _warn_of("measure these again, they are not sure", Verdict.THROTTLED, Verdict.UNSTABLE, of=verified)
    setting = _only_setting(verified)
    return _fit_points(verified), ", ".join([*(result.run_id for result in results), *setting])


def _title(results: Sequence[Result]) -> str:
    target = results[0].target
    return target.soc or target.model or target.serial


def _part(results: Sequence[Result]) -> str | None:
    """Return the CPU part of the cores that the processes ran on; None where they are of several or unknown.

    Where nobody saw the cores, they are those of the fastest cluster.
    """
    clusters = results[0].target.clusters
    runs = [run for result in results for point in result.points for run in point.processes]
    seen = {core for run in runs for core in run.cores_seen}
    used = [one for one in clusters if seen.intersection(one.cores)] or clusters[-1:]
    parts = {one.part for one in used}
    return parts.pop() if len(parts) == 1 else None


def _require_one_phone(results: Sequence[Result]) -> None:
    for result in results:
        require_phone(result, "fitting to")
    phones = dict.fromkeys(phone_of(result.target) for result in results)
    if len(phones) > 1:
        raise InputError(
            f"fitting to results of {len(phones)} devices, {' and '.join(phones)}: a model is one device's",
            hint="edgekit estimate --fit FILE -o NAME.toml  for each",
        )


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
    """Points of networks that were counted; others, and those matched by name alone, are warned of."""
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
                layers=count.layers,
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
