"""A profile as a table and as a page, which a real browser draws."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edgekit.core.profile import Cost, Profile, Unit, shares
from edgekit.report.profile import profile_page, profile_table
from edgekit.toolchain.cache import cache_directory
from tests.browser import Browser, running_chromium

CONV, POOL = ("conv2d", "GemmLikeConv fp32"), ("pool2d", "PoolCompute fp32")
# Invented: a convolution that gains from threads, and pooling that does not.
COSTS = {
    1: {POOL: Cost(nodes=2, cost=1_000_000), CONV: Cost(nodes=9, cost=3_000_000)},
    2: {POOL: Cost(nodes=2, cost=1_000_000), CONV: Cost(nodes=9, cost=1_500_000)},
    4: {POOL: Cost(nodes=2, cost=950_000), CONV: Cost(nodes=9, cost=750_000)},
}


def profile(threads: tuple[int, ...] = (1, 2, 4)) -> Profile:
    return Profile(
        model="PPLCNet_x0_5", target="virtual-1", engine="paddlelite", engine_version="2.12",
        precision="fp32", unit=Unit.INSTRUCTIONS, repeats=3, threads=threads,
        operators=shares({number: COSTS[number] for number in threads}),
    )  # fmt: skip


def test_shares_and_gains() -> None:
    convolution, pooling = profile().operators
    assert (convolution.operator, convolution.nodes, convolution.share) == ("conv2d", 9, 0.75)
    assert (convolution.gains, convolution.serial) == ({"2": 2.0, "4": 4.0}, False)
    assert (pooling.share, pooling.serial) == (0.25, True)
    assert profile().serial_share(1) == 0.25
    assert profile().serial_share(4) == pytest.approx(0.95 / 1.7)
    assert [one.serial for one in profile((1,)).operators] == [None, None]
    assert profile((1,)).serial_share(1) is None


def test_an_operator_that_only_some_threads_run_costs_nothing_elsewhere() -> None:
    costs = {1: {POOL: Cost(nodes=1, cost=10.0)}, 2: {CONV: Cost(nodes=1, cost=5.0)}}
    by_name = {one.operator: one for one in shares(costs)}
    assert by_name["conv2d"].costs == {"1": 0.0, "2": 5.0}
    assert by_name["pool2d"].costs == {"1": 10.0, "2": 0.0}


def test_the_table() -> None:
    table = profile_table(profile())
    assert table.rows[0][:3] == ("conv2d: GemmLikeConv fp32", "9", "75.0%")
    assert table.rows[0][3:] == ("3 M", "1.5 M", "750 k", "2.00", "4.00", "gains")
    assert table.rows[-1][:5] == ("all", "11", "100.0%", "4 M", "2.5 M")
    assert "EMULATED" in table.title
    assert any("25.0% with 1 thread" in note for note in table.notes)


# Words of the table that go on in another line.
BROKEN = """[...document.querySelectorAll('td, th')].flatMap(cell => {
  const range = document.createRange(), text = cell.firstChild;
  return text === null ? [] : [...text.data.matchAll(/\\S+/g)].filter(word => {
    range.setStart(text, word.index);
    range.setEnd(text, word.index + word[0].length);
    return range.getClientRects().length > 1;
  }).map(word => word[0]);
})"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_chromium(tmp_path_factory.mktemp("chromium"), cache_directory("apt")) as running:
        yield running


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    place = tmp_path_factory.mktemp("page") / "profile.html"
    place.write_text(profile_page(profile()), encoding="utf-8")
    return place.as_uri()


@pytest.mark.slow
def test_bars_are_as_long_as_their_cost(browser: Browser, url: str) -> None:
    tab = browser.open(url, width=360, height=800, mobile=True)
    widths = tab.evaluate("[...document.querySelectorAll('.bar i')].map(one => one.offsetWidth)")
    assert widths[0] > 150
    assert [width / widths[0] for width in widths] == pytest.approx(
        [1, 1 / 2, 1 / 4, 1 / 3, 1 / 3, 0.95 / 3], abs=0.02
    )
    assert tab.evaluate("document.documentElement.scrollWidth") == 360
    assert [url for url in tab.requests if not url.startswith(("file:", "data:"))] == []
    assert tab.complaints == []


@pytest.mark.slow
def test_figures_can_be_read_on_a_phone(browser: Browser, url: str) -> None:
    tab = browser.open(url, width=390, height=844, mobile=True)
    assert tab.evaluate("document.querySelectorAll('td').length") == 3 * 9
    assert tab.evaluate(BROKEN) == []
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
