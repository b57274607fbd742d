"""`estimate`: latency on a phone without the phone, from exact instruction counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgekit.core.artifact import MANIFEST_NAME, ArtifactKind
from edgekit.core.spec import ModelSpec, Precision
from edgekit.errors import InputError
from edgekit.estimate.soc_model import (
    ENOUGH_NETWORKS,
    LEVEL,
    Fit,
    NetworkCount,
    SocModel,
    Unfitted,
    load_counts,
    prediction_error,
    shipped_socs,
)
from edgekit.zoo.registry import find_model, list_models, model_names

if TYPE_CHECKING:
    from edgekit.targets.target import Subject

# Raised with every change of the fields of `EstimateReport`.
ESTIMATE_SCHEMA_VERSION = 1
# The SoC of commands that are given none.
DEFAULT_SOC = "sd855"
# How far outside the fitted range a network may be before that is said.
RANGE_MARGIN = 1.25
FAR = "far from what it was fitted on: "
# A leave-one-out error from which on the fit itself is said to be poor.
POOR_FIT = 0.2


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """One estimated latency with its interval, ms.

    Attributes:
        level: Share of networks whose latency the interval holds, e.g. 0.9; None where its width is a guess,
            the network lies far outside of the fit, or two ways to estimate it disagree.
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
    """Return the artifacts at a path or of a name; None for a name under which nothing is exported here.

    Raises:
        InputError: There are none at the path, or their manifest cannot be read.
    """
    # Imported here because `choose` needs neither without networks of the user's own.
    from edgekit.convert.manifest import DEFAULT_ROOT, find_artifacts
    from edgekit.targets.target import Subject

    try:
        directory, manifest = find_artifacts(name)
    except InputError:
        places = (DEFAULT_ROOT / name, Path(name))
        if Path(name).name != name or any((place / MANIFEST_NAME).exists() for place in places):
            raise
        return None
    # Instructions are counted whatever they compute.
    return Subject(directory=directory, manifest=manifest, anyway=True)


def known_count(
    asked: str | Subject, precision: Precision, kernels: str | None = None
) -> NetworkCount | None:
    """The shipped count of a network of the zoo; weights make no difference, input and classes do.

    Args:
        asked: A model of the zoo as its card says, or artifacts.
        kernels: The virtual SoC whose kernels are to have been counted; see `SocModel.kernels`.
    """
    name, model = (asked, asked) if isinstance(asked, str) else (asked.manifest.name, _zoo_model(asked))
    counts, twins = load_counts(), _twins(model)
    for one in counts.networks:
        if (one.precision, one.counted_on) == (precision.value, kernels) and one.model in twins:
            runtime = one.runtime or counts.runtime
            return msgspec.structs.replace(one, model=name, network=one.model, runtime=runtime)
    return None


def counting_commands(
    name: str, subject: Subject | None, precision: Precision, soc: SocModel | None = None
) -> str:
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
    return "; ".join([*commands, f"edgekit estimate {name} {_wanted(soc, precision.value)} --count"])


def _wanted(soc: SocModel | None, precision: str) -> str:
    """Return the options of an estimate that counts, for a SoC that a virtual device stands for.

    A user's own model is named by the file that `-o` named it after.
    """
    if soc is None or soc.name == DEFAULT_SOC or not (soc.kernels(precision) or soc.virtual_soc):
        return f"--precision {precision}"
    word = soc.name if soc.name in shipped_socs() else f"{soc.name}.toml"
    return f"--soc {word} --precision {precision}"


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
        UsageError: The SoC's model does not know a number of threads, or the precision.
        InputError: The network was not counted at one.
    """
    soc.require(count.precision)
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
    fit = soc.fit(threads, layers=count.layers is not None, precision=count.precision)
    if count.counted_on != soc.kernels(count.precision):
        raise InputError(
            f"estimating {count.model} {count.precision} for {soc.title}: it was counted with other kernels "
            f"({count.counted_on or 'sd855'})",
            hint=f"edgekit estimate {count.model} {_wanted(soc, count.precision)} --count",
        )
    millions = count.millions.get(str(threads))
    if millions is None:
        raise InputError(
            f"estimating {count.model} at {threads} threads: it was counted at {', '.join(count.millions)}",
            hint=f"edgekit estimate {count.model} {_wanted(soc, count.precision)} --count "
            f"--threads {threads}",
        )
    width, reasons = _width(soc, fit, count), []
    if count.precision != (fit.precision or soc.precision):
        reasons.append(f"{count.precision}: fitted on {soc.precision}; less sure")
    elif count.network not in soc.fitted_on:
        reasons.append("the network is not among those that it was fitted on")
    if _lacks_layers(soc, fit, count):
        reasons.append("its layers are not known, so that its instructions stand alone")
    if soc.adapted_from is not None:
        reasons.append(f"adapted from {soc.adapted_from} by {', '.join(soc.fitted_on)}")
    elif fit.networks < ENOUGH_NETWORKS:
        reasons.append(f"fitted to {fit.networks} networks only: measure {ENOUGH_NETWORKS} or more")
    if fit.leave_one_out_error > POOR_FIT:
        reasons.append(f"the fit is poor: {fit.leave_one_out_error:.0%} off on a network left out")
    far = _far_from(fit, millions, count.nb_mb)
    if far:
        width = msgspec.structs.replace(
            width, error=2 * width.error, level=None, interval=f"twice {width.interval}"
        )
        reasons.append(FAR + " and ".join(far))
    latency = fit.latency_ms(millions, count.nb_mb, count.layers)
    low, high = latency / (1 + width.error), latency * (1 + width.error)
    second = _second_opinion(soc, fit, count)
    if second is not None and not low <= second <= high:
        low, high = min(low, second), max(high, second)
        width = msgspec.structs.replace(
            width, level=None, interval=f"{width.interval}, widened to a second estimate"
        )
        reasons.append(
            f"by instructions and size alone {second:.2f} ms: its work is of other kinds than the fitted "
            "networks'"
        )
    return Estimate(
        threads=threads,
        latency_ms=latency,
        low_ms=low,
        high_ms=high,
        level=width.level,
        networks=width.networks,
        interval=width.interval,
        instructions_millions=millions,
        reasons=tuple(reasons),
    )


def _second_opinion(soc: SocModel, fit: Fit, count: NetworkCount) -> float | None:
    """Return the estimate by instructions and size alone, ms, of a network not fitted that has one by layers.

    Layers are convolutions and matrix products. How long other work takes, as PP-HGNetV2's scales and
    concatenations, the fitted networks do not say: the two estimates of such a network lie far apart.
    """
    if fit.weights is None or count.network in soc.fitted_on:
        return None
    plain = soc.plain_fit(fit.threads, count.precision)
    return None if plain is None else plain.latency_ms(count.millions[str(fit.threads)], count.nb_mb)


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
    seen = [one for one in soc.unfitted if (one.precision, one.threads) == (count.precision, fit.threads)]
    if _lacks_layers(soc, fit, count):
        seen = []
    if soc.adapted_from is not None:
        return _adapted_width(soc, seen)
    widths = [
        Width(
            error=prediction_error(fit.leave_one_out_rms, fit.networks - fit.coefficients),
            level=LEVEL,
            networks=fit.networks,
            interval=f"a {LEVEL:.0%} prediction interval from {fit.networks} networks, "
            "each left out of the fit",
        )
    ]
    like_fitted = count.precision == (fit.precision or soc.precision)
    is_fitted = like_fitted and count.network in soc.fitted_on
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


def _lacks_layers(soc: SocModel, fit: Fit, count: NetworkCount) -> bool:
    """Return True for a float network that is estimated without its layers where others are with theirs."""
    weighted = any(one.threads == fit.threads and one.weights is not None for one in soc.fits)
    return count.precision == soc.precision and fit.weights is None and weighted


def _adapted_width(soc: SocModel, seen: Sequence[Unfitted]) -> Width:
    if not seen:
        error = soc.other_precision_error
        return Width(error=error, level=None, networks=0, interval=f"±{error:.0%}, a guess")
    [one] = seen
    return Width(
        error=prediction_error(one.rms, one.networks),
        level=LEVEL,
        networks=len(soc.fitted_on),
        interval=f"a {LEVEL:.0%} prediction interval from {one.networks} SoCs, each left out and adapted "
        f"by {len(soc.fitted_on)} {'network' if len(soc.fitted_on) == 1 else 'networks'}",
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
