"""Points of two results that belong together, and those that stand alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgekit.core.measurement import Point, Result, Status
from edgekit.errors import UsageError

ANYWAY = "--anyway compares them all the same"

Key = tuple[str, str, str, int, int]
KEY_NAMES = ("model", "engine", "precision", "threads", "batch")


def key_of(point: Point) -> Key:
    """Model, engine, precision, threads and batch of a point."""
    return point.model, point.engine, point.precision.value, point.requested_threads, point.batch_size


def settings_of(point: Point) -> dict[str, str]:
    """Settings by which points of one key are told apart; they may differ between two files."""
    settings = {f"engine option {name}": value for name, value in point.engine_options.items()}
    settings["power mode"] = "" if point.power_mode is None else point.power_mode.value
    settings["requested cores"] = point.requested_cores or ""
    return settings


def pair_points(old: Result, new: Result, *, anyway: bool) -> list[tuple[Point, Point]]:
    """Measured points of one key and, where there are several, of one setting; old and new.

    Args:
        old: The earlier result.
        new: The later result.
        anyway: Pair points in their order where no key is common.

    Raises:
        UsageError: No key is common, or a result has no finished point.
    """
    olds, news = [_measured(result.points) for result in (old, new)]
    if not olds or not news:
        raise UsageError("comparing two results: one of them has no finished point")
    common = list(_common(olds, news))
    if common:
        return common
    if anyway:
        return list(zip(olds, news, strict=False))
    pairs = zip(KEY_NAMES, key_of(olds[0]), key_of(news[0]), strict=True)
    differing = ", ".join(f"{name} {a or '-'} and {b or '-'}" for name, a, b in pairs if a != b)
    raise UsageError(f"comparing two results: no point in common ({differing})", hint=ANYWAY)


def _common(olds: Sequence[Point], news: Sequence[Point]) -> Iterator[tuple[Point, Point]]:
    """Pair points of one key: those of equal settings first, the others in their order."""
    for key in dict.fromkeys(key_of(point) for point in news):
        sides = [[point for point in points if key_of(point) == key] for points in (olds, news)]
        for point in list(sides[1]):
            same = next((one for one in sides[0] if settings_of(one) == settings_of(point)), None)
            if same is not None:
                sides[0].remove(same)
                sides[1].remove(point)
                yield same, point
        yield from zip(*sides, strict=False)


def left_out(old: Result, new: Result, pairs: Sequence[tuple[Point, Point]]) -> tuple[str, ...]:
    """Points of either result that are in no pair, and why, for people."""
    paired = {id(point) for pair in pairs for point in pair}
    return tuple(
        f"{point.model}, {configuration_of(point)}: {name} "
        + ("has it alone" if point.status is Status.DONE else f"has it {point.status.value}")
        for name, result in (("OLD", old), ("NEW", new))
        for point in result.points
        if id(point) not in paired
    )


def broken(old: Result, new: Result) -> tuple[str, ...]:
    """Points that failed in the new result and were measured in the old one, for people."""
    measured = {key_of(point) for point in _measured(old.points)}
    return tuple(
        f"{point.model}, {configuration_of(point)}"
        for point in new.points
        if point.status is Status.FAILED and key_of(point) in measured
    )


def _measured(points: Sequence[Point]) -> list[Point]:
    return [point for point in points if point.status is Status.DONE]


def configuration_of(point: Point) -> str:
    """Engine, precision, threads and batch of a point, for people."""
    return (
        f"{point.engine} {point.precision.value}, {point.requested_threads} thread(s), bs{point.batch_size}"
    )
