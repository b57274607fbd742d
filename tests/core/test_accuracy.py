from __future__ import annotations

import pytest

from edgekit.core.accuracy import paired_drop, wilson


def test_wilson_against_published_values() -> None:
    """R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3: 81/263, 15/148, 0/20, 1/29."""
    for hits, trials, low, high in (
        (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)
    ):  # fmt: skip
        share = wilson(hits, trials)
        assert share.low == pytest.approx(low, abs=5e-5)
        assert share.high == pytest.approx(high, abs=5e-5)
        assert share.share == hits / trials


def test_wilson_at_the_ends() -> None:
    assert wilson(50, 50).high == 1
    assert wilson(50, 50).low == pytest.approx(0.9287, abs=1e-4)
    with pytest.raises(ValueError, match="3 hits of 2"):
        wilson(3, 2)


def test_paired_drop() -> None:
    drop = paired_drop(lost=12, gained=4, trials=1000)
    assert drop.drop == pytest.approx(0.008)
    assert drop.low < 0.008 < drop.high
    assert paired_drop(lost=4, gained=12, trials=1000).drop == pytest.approx(-0.008)


def test_no_difference_is_not_certainty() -> None:
    few, many = paired_drop(0, 0, 50), paired_drop(0, 0, 50_000)
    assert few.low < 0 < few.high
    assert few.high == pytest.approx(-few.low)
    assert many.high < few.high / 100


def test_agresti_and_min_by_hand() -> None:
    """N=100, b=10, c=2: (10.5-2.5)/102 -+ 1.96 sqrt(13 - 64/102)/102."""
    drop = paired_drop(10, 2, 100)
    assert drop.low == pytest.approx(8 / 102 - 1.959964 * (13 - 64 / 102) ** 0.5 / 102)
    assert drop.high == pytest.approx(8 / 102 + 1.959964 * (13 - 64 / 102) ** 0.5 / 102)
