"""The gate of int8: what was lost is judged by its interval, not by its estimate."""

from __future__ import annotations

import re

import pytest

from edgekit.core.accuracy import paired_drop, wilson
from edgekit.errors import GateError
from edgekit.quantize.gate import check_loss, pictures_needed


def test_no_miss_passes_with_as_many_pictures_as_are_asked_for() -> None:
    needed = pictures_needed(0.01)
    assert needed == 381
    check_loss("x", wilson(needed, needed), None, 1.0)
    with pytest.raises(GateError, match="not resolved"):
        check_loss("x", wilson(needed - 1, needed - 1), None, 1.0)
    assert pictures_needed(1.0) == 1


def test_a_hundred_calibration_pictures_leave_twenty_that_do_not_tell() -> None:
    with pytest.raises(
        GateError, match=r"0.00 % \[0.00, 16.11\] of 20 .*give at least 381 pictures"
    ) as caught:
        check_loss("x", wilson(20, 20), None, 1.0)
    assert caught.value.hint == "--held-back DIR with 381 pictures or more, or --max-drop 16.2"
    check_loss("x", wilson(20, 20), None, 16.2)


def test_what_is_surely_lost_fails() -> None:
    with pytest.raises(GateError, match=r"differ on 10.00 % \[.*at most 1 % is asked for"):
        check_loss("x", wilson(360, 400), None, 1.0)


@pytest.mark.parametrize(("lost", "gained", "trials"), [(3, 0, 100), (12, 8, 500), (0, 0, 50)])
def test_as_many_labelled_pictures_as_are_asked_for_decide(lost: int, gained: int, trials: int) -> None:
    agreement = wilson(trials - lost - gained, trials)
    with pytest.raises(GateError, match="not resolved: Top-1 falls by") as caught:
        check_loss("x", agreement, paired_drop(lost, gained, trials), 1.0)
    found = re.search(r"at least (\d+) pictures", str(caught.value))
    assert found is not None
    factor = int(found[1]) / trials
    more = paired_drop(round(lost * factor), round(gained * factor), int(found[1]))
    assert more.high <= 0.01 or more.low > 0.01


def test_a_loss_that_is_the_limit_itself_is_not_resolved_by_any_number() -> None:
    with pytest.raises(GateError, match=r"1 % lies between$") as caught:
        check_loss("x", wilson(99, 100), None, 1.0)
    assert caught.value.hint == "--max-drop 5.5"
