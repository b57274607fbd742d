"""Whether int8 loses more than it may, by the interval of its loss on the held-back pictures."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable

from edgekit.core.accuracy import Z_95, Drop, Share, paired_drop, wilson
from edgekit.errors import GateError

# No more pictures are ever asked for.
MOST_PICTURES = 1_000_000

Ends = tuple[float, float]


def pictures_needed(limit: float) -> int:
    """Pictures at which precisions that answer alike on every one are known to differ on `limit` at most.

    Args:
        limit: A share, 0 to 1. With 0 no number of pictures shows it.
    """
    if limit <= 0:
        return MOST_PICTURES
    # Wilson's interval of no misses in n ends at z² / (n + z²).
    return max(1, math.ceil(Z_95 * Z_95 * (1 - limit) / limit))


def check_loss(
    name: str, agreement: Share, drop: Drop | None, max_drop: float, counted: str = "pictures"
) -> None:
    """Judge one artifact by the lost Top-1, or by the answers that differ where the pictures have no labels.

    Args:
        name: Model and artifact, for the message.
        agreement: Share of pictures on which both precisions answer alike.
        drop: The fall of Top-1, where the pictures have labels.
        max_drop: Percentage points that may be lost.
        counted: Plural of what `agreement` counts.

    Raises:
        GateError: More is lost, or the interval does not tell.
    """
    limit, trials = max_drop / 100, agreement.trials
    if drop is not None:
        what, estimate, ends = "Top-1 falls by", drop.drop, (drop.low, drop.high)
    else:
        what, estimate, ends = "the answers differ on", 1 - agreement.share, _misses(agreement)
    if ends[1] <= limit:
        return
    low, high = (f"{100 * end:.2f}" for end in ends)
    said = f"{what} {100 * estimate:.2f} % [{low}, {high}] of {trials} held-back {counted}"
    if ends[0] > limit:
        raise GateError(
            f"quantising {name}: {said}, at most {max_drop:g} % is asked for",
            hint="--search --keep-float auto measures what helps ONNX Runtime; or calibrate with more "
            "pictures of the kind that the model will see, or raise --max-drop",
        )
    needed = _decisive(lambda count: _scaled(agreement, drop, count), limit, trials)
    enough = f"--max-drop {math.ceil(1000 * ends[1]) / 10:g}"
    raise GateError(
        f"quantising {name}: not resolved: {said}; {max_drop:g} % lies between"
        + ("" if needed is None else f"; give at least {needed} {counted}"),
        hint=enough if needed is None else f"--held-back DIR with {needed} {counted} or more, or {enough}",
    )


def _misses(agreement: Share) -> Ends:
    return 1 - agreement.high, 1 - agreement.low


def _scaled(agreement: Share, drop: Drop | None, count: int) -> Ends:
    """The interval if as many of `count` pictures were lost in proportion."""
    factor = count / agreement.trials
    if drop is None:
        return _misses(wilson(count - round((agreement.trials - agreement.hits) * factor), count))
    larger = paired_drop(round(drop.lost * factor), round(drop.gained * factor), count)
    return larger.low, larger.high


def _decisive(ends: Callable[[int], Ends], limit: float, trials: int) -> int | None:
    """Fewest pictures at which the interval lies on one side of the limit; None beyond MOST_PICTURES."""

    def is_resolved(count: int) -> bool:
        low, high = ends(count)
        return high <= limit or low > limit

    most = trials
    while not is_resolved(most):
        most *= 2
        if most > MOST_PICTURES:
            return None
    return trials + bisect.bisect_left(range(trials, most), True, key=is_resolved)
