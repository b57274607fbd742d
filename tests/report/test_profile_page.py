"""A profile as a table and as a page, which a real browser draws."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from edgekit.core.device import DeviceInfo
from edgekit.core.profile import Cost, Layer, Profile, Scaling, Unit, layer_shares, shares
from edgekit.report.profile import layer_table, profile_page, profile_table
from edgekit.toolchain.cache import cache_directory
from tests.browser import CUT, Browser, running_chromium


def cost(nodes: int, *processes: float) -> Cost:
    return Cost(nodes=nodes, processes=processes)


CONV, POOL = ("conv2d", "GemmLikeConv fp32"), ("pool2d", "PoolCompute fp32")
# Invented: a convolution that gains from threads, and pooling that does not.
COSTS = {
    1: {POOL: cost(2, 1_000_000), CONV: cost(9, 3_000_000)},
    2: {POOL: cost(2, 1_000_000), CONV: cost(9, 1_500_000)},
    4: {POOL: cost(2, 950_000), CONV: cost(9, 750_000)},
}


def layers(threads: int, *costs: float) -> tuple[Layer, ...]:
    """Layers of one process in the order of their execution."""
    return tuple(
        Layer(name=f"conv_{number}", operator="Conv", input_shape=(1, 3, 224, 224),
              weights_shape=(16, 3, 3, 3), output_shape=(1, 16, 112, 112), costs={str(threads): cost})
        for number, cost in enumerate(costs)
    )  # fmt: skip


def profile(threads: tuple[int, ...] = (1, 2, 4), **changes: Any) -> Profile:
    return Profile(**{
        "model": "PPLCNet_x0_5", "artifact_sha256": "a" * 64,
        "engine": "paddlelite", "engine_version": "2.12",
        "target": DeviceInfo(serial="virtual-1", state="device", transport="adb", emulated=True),
        "precision": "fp32", "unit": Unit.INSTRUCTIONS, "processes": 1, "repeats": 3, "threads": threads,
        "operators": shares({number: COSTS[number] for number in threads}), **changes,
    })  # fmt: skip


def test_shares_and_gains() -> None:
    convolution, pooling = profile().operators
    assert (convolution.operator, convolution.nodes, convolution.share) == ("conv2d", 9, 0.75)
    assert (convolution.gains, convolution.scaling) == ({"2": 2.0, "4": 4.0}, Scaling.GAINS)
    assert (pooling.share, pooling.scaling) == (0.25, Scaling.SERIAL)
    assert profile().share_of(Scaling.SERIAL, 1) == 0.25
    assert profile().share_of(Scaling.SERIAL, 4) == pytest.approx(0.95 / 1.7)
    assert [one.scaling for one in profile((1,)).operators] == [None, None]
    assert "serial" not in str(profile_table(profile((1,))).notes)


@pytest.mark.parametrize(
    ("one", "two", "disturbed", "scaling"),
    [
        ((100.0, 102.0, 98.0), (80.0, 85.0, 88.0), False, Scaling.GAINS),
        ((100.0, 102.0, 98.0), (80.0, 85.0, 95.0), False, Scaling.UNCLEAR),
        ((100.0, 102.0, 98.0), (99.0, 97.0, 101.0), False, Scaling.SERIAL),
        ((100.0, 102.0, 98.0), (99.0, 97.0, 101.0), True, Scaling.UNCLEAR),
        ((100.0, 102.0, 98.0), (340.0, 350.0, 345.0), True, Scaling.UNCLEAR),
        ((100.0, 102.0, 98.0), (50.0, 55.0, 60.0), True, Scaling.GAINS),
    ],
)
def test_what_threads_do_is_said_where_the_processes_agree(
    one: tuple[float, ...], two: tuple[float, ...], disturbed: bool, scaling: Scaling
) -> None:
    [conv] = shares({1: {CONV: cost(9, *one)}, 2: {CONV: cost(9, *two)}}, disturbed=disturbed)
    assert conv.scaling is scaling
    assert conv.processes == {"1": one, "2": two}
    assert conv.costs["1"] == 100.0
    assert conv.spread(1) == pytest.approx(0.02)


def test_an_operator_that_only_some_threads_run_costs_nothing_elsewhere() -> None:
    by_name = {one.operator: one for one in shares({1: {POOL: cost(1, 10)}, 2: {CONV: cost(1, 5)}})}
    assert by_name["conv2d"].costs == {"1": 0.0, "2": 5.0}
    assert by_name["pool2d"].costs == {"1": 10.0, "2": 0.0}


def test_processes_and_doubts_are_in_the_table() -> None:
    costs = {1: {CONV: cost(9, 100, 96, 104)}, 2: {CONV: cost(9, 100, 90, 80)}}
    doubtful = profile(
        (1, 2), unit=Unit.MICROSECONDS, processes=3, operators=shares(costs), reasons=("others were busy",)
    )
    table = profile_table(doubtful)
    assert table.rows[0][3:] == ("100 ±4%", "90 ±11%", "1.11", "unclear")
    assert "median of 3 in each of 3 processes" in table.title
    assert table.notes[0] == "others were busy"
    assert "unclear operators take 100.0% with 1 thread" in table.notes[-1]
    assert '<span class="remark">unclear</span>' in profile_page(doubtful)


def test_the_table() -> None:
    table = profile_table(profile())
    assert table.rows[0][:3] == ("conv2d: GemmLikeConv fp32", "9", "75.0%")
    assert table.rows[0][3:] == ("3 M", "1.5 M", "750 k", "2.00", "4.00", "gains")
    assert table.rows[-1][:5] == ("all", "11", "100.0%", "4 M", "2.5 M")
    assert "EMULATED" in table.title
    assert any("25.0% with 1 thread" in note for note in table.notes)


def test_layers_have_shapes_and_a_cumulative_share() -> None:
    processes = [layers(1, 100, 897, 1, 2), layers(1, 104, 897, 1, 2), layers(1, 80, 897, 1, 2)]
    table = layer_table(profile((1, 2), layers=layer_shares({1: processes, 2: [layers(2, 50, 450, 1, 2)]})))
    assert table.header == (
        "Layer", "Operator", "Input", "Weights", "Output", "share", "cumulative",
        "instructions, 1 thread", "instructions, 2 threads", "gain, 2",
    )  # fmt: skip
    assert table.rows == (
        ("conv_1", "Conv", "3×224×224", "16×3×3×3", "16×112×112", "89.7%", "89.7%", "897", "450", "1.99"),
        ("conv_0", "Conv", "3×224×224", "16×3×3×3", "16×112×112", "10.0%", "99.7%", "100", "50", "2.00"),
        ("others, 2 under 0.5%", "", "", "", "", "0.3%", "100.0%", "3", "3", "1.00"),
    )


def test_operators_of_little_share_are_summed_up() -> None:
    names = [("Conv", 990.0), ("Softmax", 4.0), ("Reshape", 3.0), ("Relu", 3.0)]
    page = profile_page(
        profile((1,), operators=shares({1: {(name, None): cost(1, own) for name, own in names}}))
    )
    chart = page[page.index('class="chart"') : page.index("</ul>")]
    assert re.findall(r'class="kind">([^<]*)<', chart) == ["Conv", "others, 1.0%"]
    assert "Softmax, Reshape, Relu" in chart


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_chromium(tmp_path_factory.mktemp("chromium"), cache_directory("apt")) as running:
        yield running


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    place = tmp_path_factory.mktemp("page") / "profile.html"
    place.write_text(
        profile_page(
            profile(
                layers=layer_shares({number: [layers(number, 900 / number, 100, 2)] for number in (1, 2, 4)})
            )
        ),
        encoding="utf-8",
    )
    return place.as_uri()


@pytest.mark.slow
def test_bars_are_as_long_as_their_cost(browser: Browser, url: str) -> None:
    tab = browser.open(url, width=360, height=800, mobile=True)
    widths = tab.evaluate("[...document.querySelectorAll('.bars i')].map(one => one.offsetWidth)")
    assert widths[0] > 130
    assert [width / widths[0] for width in widths] == pytest.approx(
        [1, 1 / 2, 1 / 4, 1 / 3, 1 / 3, 0.95 / 3], abs=0.02
    )
    assert tab.evaluate("document.documentElement.scrollWidth") == 360
    assert [url for url in tab.requests if not url.startswith(("file:", "data:"))] == []
    assert tab.complaints == []


@pytest.mark.slow
def test_figures_can_be_read_on_a_phone(browser: Browser, url: str) -> None:
    tab = browser.open(url, width=390, height=844, mobile=True)
    assert tab.evaluate("document.querySelectorAll('td').length") >= 3 * 8 + 3 * 11
    assert tab.evaluate(CUT) == []
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    assert tab.faint() == []
