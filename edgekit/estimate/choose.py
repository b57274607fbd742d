"""`choose`: the zoo's networks by accuracy and by latency on a SoC, and which of them fits a limit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from edgekit.core.measurement import Result, Status, Verdict
from edgekit.core.spec import CLASSIFICATION, ModelSpec, Precision, Published
from edgekit.core.stats import pareto_front
from edgekit.errors import InputError, UsageError
from edgekit.estimate.estimate import estimate, known_count
from edgekit.estimate.phone import require_phone
from edgekit.estimate.soc_model import NetworkCount, SocModel
from edgekit.zoo.registry import list_models

# Raised with every change of the fields of `Choice`.
CHOICE_SCHEMA_VERSION = 1
ENGINE = "paddlelite"
IMAGENET_CLASSES = 1000
# The figure of accuracy of each task: its field in a card's published figures, and its name.
ACCURACY = {
    "classification": ("top1", "Top-1"),
    "detection": ("map", "mAP"),
    "segmentation": ("miou", "mIoU"),
}


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A network with its accuracy and its latency on the SoC.

    Attributes:
        accuracy: Top-1, mAP or mIoU, per cent.
        accuracy_is: `published`, or `given` for a network of the user's own.
        latency_ms: Latency of one picture.
        low_ms, high_ms: Interval of an estimate; both the latency of a measured or published figure.
        latency_is: `measured`, `published` or `estimated`.
        source: Where the latency comes from.
        nb_mb: Size of the `.nb`, MB of a million bytes; None where it is not known.
        fits: `yes`, `no`, or `perhaps` where the limit of latency lies within the interval.
        front: No other candidate is at least as accurate and faster.
    """

    model: str
    accuracy: float
    accuracy_is: str
    latency_ms: float
    low_ms: float
    high_ms: float
    latency_is: str
    source: str
    nb_mb: float | None
    fits: str = "yes"
    front: bool = False


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The document of `choose --json`.

    Attributes:
        best: The network that the limits ask for, by its latency as it stands; None where none fits, or where
            no limit is given.
        surest: As `best`, of those whose whole interval fits; None where there is none.
        candidates: All networks with both figures, the fastest first.
        left_out: Networks without a latency on this SoC, by the reason.
    """

    schema_version: int = CHOICE_SCHEMA_VERSION
    soc: str
    title: str
    task: str
    precision: str
    threads: int
    max_ms: float | None = None
    min_accuracy: float | None = None
    max_mb: float | None = None
    best: str | None = None
    surest: str | None = None
    candidates: tuple[Candidate, ...]
    left_out: dict[str, tuple[str, ...]] = {}


class Own(msgspec.Struct, frozen=True, kw_only=True):
    """A network of the user's own: its instructions and its accuracy, per cent."""

    count: NetworkCount
    accuracy: float


def choose(
    soc: SocModel,
    *,
    threads: int = 1,
    precision: Precision = Precision.FP32,
    task: str = CLASSIFICATION,
    max_ms: float | None = None,
    min_accuracy: float | None = None,
    max_mb: float | None = None,
    also: Sequence[Own] = (),
    results: Sequence[Result] = (),
) -> Choice:
    """Return the networks of a task by accuracy and latency, and the one that fits the limits best.

    With a limit of latency or size that is the most accurate network within the limits; with a least accuracy
    alone it is the fastest. A measured latency is taken before a published one, and that before an estimate.

    Args:
        soc: Latency model of the SoC.
        threads: Threads of Paddle Lite.
        max_ms: Limit of the latency of one picture, ms.
        min_accuracy: Least Top-1, mAP or mIoU, per cent.
        max_mb: Limit of the size of the `.nb`, MB of a million bytes.
        also: Networks of the user's own.
        results: Results measured on a phone with this SoC.

    Raises:
        UsageError: The task has no figure of accuracy.
        InputError: A result was measured on an emulated device or on a host, or no network has a latency.
    """
    if task not in ACCURACY:
        raise UsageError(f"choosing a network for {task}", hint=f"--task {'|'.join(ACCURACY)}")
    networks = [
        _Network(
            name=card.name,
            accuracy=accuracy,
            accuracy_is="published",
            published=card.published,
            count=known_count(card.name, precision, soc.kernels(precision.value)),
        )
        for card, accuracy in _cards(task)
    ]
    networks += [
        _Network(name=own.count.model, accuracy=own.accuracy, accuracy_is="given", count=own.count)
        for own in also
    ]
    measured = _measured(results, threads, precision)
    found: list[Candidate] = []
    left_out: dict[str, list[str]] = {}
    for network in networks:
        latency = _latency(network, soc, threads, precision, measured)
        if isinstance(latency, str):
            left_out.setdefault(latency, []).append(network.name)
        else:
            limits = _fits(network, latency, max_ms, min_accuracy, max_mb)
            found.append(_candidate(network, latency, limits))
    if not found:
        soc.require(precision.value)
        reasons = "; ".join(left_out) or f"the zoo has no network for {task}"
        raise InputError(
            f"choosing for {soc.title} at {threads} threads and {precision.value}: no network has a latency "
            f"({reasons})",
            hint="edgekit choose --list-socs",
        )
    candidates = _with_front(sorted(found, key=lambda one: (one.latency_ms, -one.accuracy)))
    best = surest = None
    if not (max_ms is None and min_accuracy is None and max_mb is None):
        prefer = _speed if max_ms is None and max_mb is None else _accuracy
        sure = [one for one in candidates if one.fits == "yes"]
        likely = [one for one in candidates if one.fits == "perhaps" and one.latency_ms <= (max_ms or 0.0)]
        best = max([*sure, *likely], key=prefer, default=None)
        surest = max(sure, key=prefer, default=None)
    return Choice(
        soc=soc.name,
        title=soc.title,
        task=task,
        precision=precision.value,
        threads=threads,
        max_ms=max_ms,
        min_accuracy=min_accuracy,
        max_mb=max_mb,
        best=None if best is None else best.model,
        surest=None if surest is None else surest.model,
        candidates=candidates,
        left_out={reason: tuple(names) for reason, names in left_out.items()},
    )


class _Network(msgspec.Struct, frozen=True, kw_only=True):
    """A network before its latency is known."""

    name: str
    accuracy: float
    accuracy_is: str
    published: Published | None = None
    count: NetworkCount | None = None


class _Latency(msgspec.Struct, frozen=True, kw_only=True):
    """A latency with its interval, ms; see `Candidate`."""

    ms: float
    low: float
    high: float
    latency_is: str
    source: str


def _cards(task: str) -> Iterator[tuple[ModelSpec, float]]:
    """Yield the cards of a task that have a published accuracy, those of ImageNet for classification."""
    for card in list_models():
        accuracy = None if card.published is None else getattr(card.published, ACCURACY[task][0])
        of_imagenet = task != CLASSIFICATION or card.num_classes == IMAGENET_CLASSES
        if card.task == task and of_imagenet and accuracy is not None:
            yield card, accuracy


def _measured(results: Sequence[Result], threads: int, precision: Precision) -> dict[str, tuple[str, float]]:
    """Return run and milliseconds of the last usable point of each model.

    Raises:
        InputError: A result was measured on an emulated device or on a host.
    """
    found = {}
    for result in results:
        require_phone(result, "choosing by")
        for point in result.points:
            asked = (point.engine, point.precision, point.requested_threads, point.batch_size)
            if asked != (ENGINE, precision, threads, 1) or point.status is not Status.DONE:
                continue
            if point.latency_ns is not None and point.verdict is not Verdict.UNVERIFIED:
                found[point.model] = (result.run_id, point.latency_ns / 1e6)
    return found


def _latency(
    network: _Network,
    soc: SocModel,
    threads: int,
    precision: Precision,
    measured: Mapping[str, tuple[str, float]],
) -> _Latency | str:
    """Return a network's measured, else published, else estimated latency; words why there is none."""
    if network.name in measured:
        run, ms = measured[network.name]
        return _Latency(ms=ms, low=ms, high=ms, latency_is="measured", source=run)
    for figure in network.published.latencies if network.published else ():
        where = (figure.platform.value, figure.threads, figure.batch_size, figure.precision)
        if where == (soc.name, threads, 1, precision):
            ms = figure.latency_ms
            return _Latency(ms=ms, low=ms, high=ms, latency_is="published", source=figure.source)
    if network.count is None:
        return f"neither published nor counted at {precision.value}"
    if str(threads) not in network.count.millions:
        return f"not counted at {threads} threads"
    if threads not in soc.threads(precision.value):
        return f"not published, and the model of {soc.title} knows no {threads} threads"
    if not soc.knows(precision.value):
        return f"not published, and {precision.value} on {soc.title} is not fitted"
    [one] = estimate(soc, network.count, [threads]).estimates
    return _Latency(
        ms=one.latency_ms, low=one.low_ms, high=one.high_ms, latency_is="estimated", source=soc.source
    )


def _fits(
    network: _Network,
    latency: _Latency,
    max_ms: float | None,
    min_accuracy: float | None,
    max_mb: float | None,
) -> str:
    size = None if network.count is None else network.count.nb_mb
    too_large = max_mb is not None and (size is None or size > max_mb)
    too_wrong = min_accuracy is not None and network.accuracy < min_accuracy
    if too_large or too_wrong or (max_ms is not None and latency.low > max_ms):
        return "no"
    return "perhaps" if max_ms is not None and latency.high > max_ms else "yes"


def _candidate(network: _Network, latency: _Latency, fits: str) -> Candidate:
    return Candidate(
        model=network.name,
        accuracy=network.accuracy,
        accuracy_is=network.accuracy_is,
        latency_ms=latency.ms,
        low_ms=latency.low,
        high_ms=latency.high,
        latency_is=latency.latency_is,
        source=latency.source,
        nb_mb=None if network.count is None else network.count.nb_mb,
        fits=fits,
    )


def _with_front(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Mark those that are more accurate than all faster ones; the fastest come first."""
    front = pareto_front([(one.latency_ms, one.accuracy) for one in candidates])
    return tuple(
        msgspec.structs.replace(one, front=is_front) for one, is_front in zip(candidates, front, strict=True)
    )


def _speed(candidate: Candidate) -> tuple[float, float]:
    return -candidate.latency_ms, candidate.accuracy


def _accuracy(candidate: Candidate) -> tuple[float, float]:
    return candidate.accuracy, -candidate.latency_ms
