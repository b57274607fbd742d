"""The HTML report, as text and opened in a real browser: on a phone, on a desk, in the dark, on paper."""

from __future__ import annotations

import base64
import hashlib
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from edgekit.bench.document import save_result
from edgekit.bench.results import load_result
from edgekit.core.measurement import (
    CoreState,
    Environment,
    InstructionCount,
    Point,
    PointError,
    Result,
    Status,
    Verdict,
)
from edgekit.report.html import as_html
from edgekit.report.rows import result_rows
from edgekit.report.tables import published_tables
from edgekit.toolchain.cache import cache_directory
from tests.browser import CUT, Browser, Tab, running_chromium
from tests.conftest import REPOSITORY, RunCli
from tests.points import point, process, result, samples

NASTY = "Own<script>alert(1)</script>|net_with_a_name_that_is_longer_than_a_phone_is_wide"
RECORDED = REPOSITORY / "tests" / "data" / "results"
SECTIONS = ("headlines", "leaderboard", "plots", "verdicts", "samples", "tables", "environment")
PLOTS = ("Latency against accuracy", "Instructions against accuracy, EMULATED", "Thread scaling")
# Of all points that have a time to show.
PANELS = 12
PHONE, TABLET, DESK = 390, 800, 1300
# A4 at 96 pixels an inch, less Chromium's margins of a centimetre.
PAPER = 718
# Below this, text on a phone is a stripe.
LEGIBLE_PIXELS = 9


def reading(mhz: int, celsius: float) -> Environment:
    return Environment(
        cores=(CoreState(core=0, frequency_khz=mhz * 1000, governor="schedutil"),),
        temperatures_celsius={"cpu": celsius},
        load_1min=0.3,
        unreadable=("battery",),
    )


def invented() -> list[Result]:
    """A host's result with points of every kind, and an emulated device's; all numbers are invented."""
    points: list[Point] = []
    for model, ms in (("PPLCNet_x0_25", 1.1), ("PPLCNet_x1_0", 3.4), (NASTY, 2.0)):
        for threads in (1, 2, 4):
            runs = [
                process(
                    (*samples(ms / threads**0.7, seed=seed), 90_000_000),
                    readings=(reading(2800, 40), reading(2700 - 100 * seed, 45 + seed)),
                    load_ns=50_000_000,
                    first_run_ns=9_000_000,
                )
                for seed in range(3)
            ]
            changes: dict[str, Any] = {"verdict": Verdict.VALID}
            if threads == 4:
                changes = {"verdict": Verdict.UNSTABLE, "reasons": ("spread by ±40%: rest", "drifts: rest")}
            points.append(
                point(*runs, model=model, requested_threads=threads, effective_threads=threads, **changes)
            )
    refused = PointError(message="paddlelite runs 1 thread(s) here", exit_code=2)
    points.append(point(status=Status.SKIPPED, engine="paddlelite", requested_threads=4, error=refused))
    points.append(point(*runs[:1], batch_size=8, status=Status.INTERRUPTED, verdict=Verdict.UNSTABLE,
                        reasons=("interrupted after 1 process(es)",)))  # fmt: skip
    counted = [
        point(
            process((900_000_000,) * 3), model=model, engine="paddlelite", requested_threads=threads,
            instruction_count=InstructionCount(total=count, main_thread=count // threads),
            verdict=Verdict.EMULATED,
        )
        for model, count in (("PPLCNet_x0_25", 9_122_000), ("PPLCNet_x1_0", 58_577_000))
        for threads in (1, 2, 4)
    ]  # fmt: skip
    virtual = {"serial": "127.0.0.1:1", "transport": "adb", "soc": "SM8150", "emulated": True}
    return [result(*points, run_id="host-run"), result(*counted, run_id="virtual-run", **virtual)]


def everything() -> list[Result]:
    """The invented ones, and what was recorded on a server and on the virtual device."""
    return [*invented(), *(load_result(path) for path in sorted(RECORDED.glob("version1_*.json")))]


class Page(HTMLParser):
    """References of a page, and its words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.tags: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture(scope="module")
def text() -> str:
    results = everything()
    return as_html(results, result_rows(results), published=True)


def test_it_stands_alone(text: str) -> None:
    page = Page(text)
    assert NASTY in page.words
    assert "spread by ±40%: rest" in page.words
    assert all(one.startswith("#") or one == "data:," for one in page.references)
    assert "url(http" not in text


def test_it_runs_one_small_script_and_no_other(text: str) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39;" in text
    assert len(script.encode()) <= 4096


def test_every_link_leads_to_a_place_on_the_page(text: str) -> None:
    page = Page(text)
    wanted = {one[1:] for one in page.references if re.fullmatch(r"#p\d+", one)}
    assert len(wanted) > 10
    assert wanted <= set(re.findall(r'id="(p\d+)"', text))


def test_marks_and_dots_lead_to_their_verdicts(text: str) -> None:
    (number,) = re.findall(
        r'<div id="(p\d+)">PPLCNet_x1_0, onnxruntime fp32[^<]*, 4 threads, bs1</div>', text
    )[:1]
    assert re.search(rf'1\.29<a href="#{number}">\*</a>', text)
    dots = re.findall(rf'<a href="#{number}" tabindex="-1"><title>([^<]*)</title><path', text)
    assert any(one.startswith("PPLCNet_x1_0, onnxruntime fp32") and "not valid" in one for one in dots)


def test_points_with_one_reason_share_it() -> None:
    skipped = [
        point(model=model, engine="paddlelite", requested_threads=threads, status=Status.SKIPPED,
              error=PointError(message=f"paddlelite on {model} (fp32, {threads} threads, batch 1): "
                               "paddlelite runs 1 thread(s) here"))
        for model in ("PPLCNet_x0_25", "PPLCNet_x1_0") for threads in (2, 4, 8)
    ]  # fmt: skip
    results = [result(*skipped)]
    page = as_html(results, result_rows(results), published=False)
    assert page.count("paddlelite runs 1 thread(s) here") == 1
    assert [f'id="p{number}"' in page for number in range(1, 7)] == [True] * 6
    (table,) = published_tables(result_rows(results), published=False)
    assert table.notes == ("skipped: paddlelite runs 1 thread(s) here",)


def test_a_long_name_is_wrapped_after_an_underscore() -> None:
    results = [result(point(model="PPLCNet_x1_0_textline_ori"), serial="127.0.0.1:16874", emulated=True)]
    page = as_html(results, result_rows(results), published=False)
    assert "PPLCNet_<wbr>x1_0_<wbr>textline_<wbr>ori</div>" in page
    assert "127.0.0.1:16874" in page.partition("<h1>")[2].partition("</h1>")[0]


def test_a_long_word_is_wrapped_before_a_capital() -> None:
    results = [result(point(model=name)) for name in ("conv/GlobalAveragePool", "MobileNetV3_large_x1_0")]
    page = as_html(results, result_rows(results), published=False)
    assert "conv/<wbr>Global<wbr>Average<wbr>Pool</div>" in page
    assert "MobileNetV3_<wbr>large_<wbr>x1_0</div>" in page


def test_every_drawing_is_whole(text: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawings) == len(PLOTS) + PANELS
    ids = re.findall(r' id="([\w.-]+)"', text)
    for drawing in drawings:
        ET.fromstring(drawing)
        assert set(re.findall(r'href="#([\w.-]+)"|url\(#([\w.-]+)\)', drawing)) - {("", "")} == {
            pair for pair in re.findall(r'href="#([\w.-]+)"|url\(#([\w.-]+)\)', drawing) if max(pair) in ids
        }


def test_equal_results_make_equal_pages(text: str) -> None:
    results = everything()
    assert as_html(results, result_rows(results), published=True) == text


def test_no_time_of_an_emulator_is_shown(text: str) -> None:
    assert not re.search(r"\b900(\.0+)?\b", Page(text[text.index("<body") :]).words)


@pytest.mark.parametrize("points", [(), (point(status=Status.FAILED, error=PointError(message="it broke")),)])
def test_where_nothing_was_measured_there_are_no_plots(points: tuple[Point, ...]) -> None:
    results = [result(*points)]
    page = Page(as_html(results, result_rows(results), published=True))
    assert "svg" not in page.tags
    assert ("it broke" in page.words) == bool(points)
    assert "Invented CPU" in page.words


def test_nothing_but_the_package_is_needed(tmp_path: Path, run_cli: RunCli) -> None:
    for one in invented():
        save_result(tmp_path / f"{one.run_id}.json", one)
    done = run_cli(["report", "host-run.json", "virtual-run.json", "--format", "html"], cwd=tmp_path)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("<!DOCTYPE html>")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with running_chromium(tmp_path_factory.mktemp("chromium"), cache_directory("apt")) as running:
        yield running


@pytest.fixture(scope="module")
def url(text: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    place = tmp_path_factory.mktemp("page") / "report.html"
    place.write_text(text, encoding="utf-8")
    return place.as_uri()


# What sticks out of the window, other than in what can be scrolled.
STICKING_OUT = """[...document.querySelectorAll('body *')].filter(one => !one.closest('.wide table, .strip'))
  .filter(one => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map(one => one.tagName + ' ' + one.textContent.slice(0, 40))"""
MEDIAN = """[...document.querySelectorAll('#leaderboard th')]
  .filter(one => one.textContent.startsWith('Median')).map(one => one.getBoundingClientRect().right)[0]"""
DRAWN = """[...document.querySelectorAll('figure')].map(figure => {
  const svg = figure.querySelector('svg'), frame = svg.getBoundingClientRect();
  const scale = frame.width / svg.viewBox.baseVal.width;
  const texts = [...svg.querySelectorAll('text')];
  const sticksOut = box => box.left < frame.left - 1 || box.right > frame.right + 1
    || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
  // Line boxes have room above and below their letters.
  const overlap = (one, other) => one.left < other.right && other.left < one.right
    && one.top + 3 < other.bottom && other.top + 3 < one.bottom;
  return {
    title: figure.querySelector('h3').textContent,
    label: figure.querySelector('[role=img]').getAttribute('aria-label'),
    width: frame.width, height: frame.height,
    marks: [...svg.querySelectorAll('path, use')].filter(one => one.getBoundingClientRect().width).length,
    texts: texts.length,
    pixels: Math.min(...texts.map(one => parseFloat(getComputedStyle(one).fontSize) * scale)),
    covered: texts.filter(one => texts.some(other => one !== other
      && overlap(one.getBoundingClientRect(), other.getBoundingClientRect()))).map(one => one.textContent),
    outside: texts.filter(one => sticksOut(one.getBoundingClientRect())).map(one => one.textContent),
  };
})"""
COLOURS = """[document.body, document.querySelector('svg text')].map(one => {
  const style = getComputedStyle(one);
  return (one === document.body ? style.color : style.fill).match(/\\d+/g).slice(0, 3).map(Number);
})"""
HIDDEN = "[...document.querySelectorAll('.wide')].filter(one => one.scrollWidth > one.clientWidth).length"


def outgoing(tab: Tab) -> list[str]:
    return [url for url in tab.requests if not url.startswith(("file:", "data:"))]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "mobile", "dark"),
    [(PHONE, True, False), (TABLET, False, True), (DESK, False, False), (320, True, False)],
)
def test_it_is_whole_on_every_screen(
    browser: Browser, url: str, width: int, mobile: bool, dark: bool
) -> None:
    tab = browser.open(url, width=width, height=844, mobile=mobile, dark=dark)
    assert outgoing(tab) == []
    assert tab.complaints == []
    assert tab.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [width, width]
    assert tab.evaluate(STICKING_OUT) == []
    assert tab.evaluate(CUT) == []
    assert width < PHONE or tab.evaluate(MEDIAN) <= width + 1
    sizes = {name: tab.evaluate(f"document.getElementById('{name}').offsetHeight") for name in SECTIONS}
    assert all(height > 20 for height in sizes.values()), sizes
    words = tab.evaluate("document.getElementById('verdicts').innerText")
    for word in ("unstable", "skipped", "paddlelite runs 1 thread(s) here"):
        assert word in words


@pytest.mark.slow
def test_rows_are_sorted_and_filtered(browser: Browser, url: str) -> None:
    """By clicks and by keys; points at the end have no figure."""
    tab = browser.open(url, width=DESK, height=844)
    shown = (
        "[...document.querySelectorAll('.sortable tbody tr')].filter(row => row.checkVisibility())"
        ".map(row => [...row.cells].map(cell => cell.textContent))"
    )
    heads = tab.evaluate(
        "[...document.querySelectorAll('.sortable th[scope=col]')].map(one => one.textContent)"
    )
    median, engine = heads.index("Median, ms"), heads.index("Engine")

    def medians() -> list[float]:
        return [float(row[median].partition("*")[0].split()[0]) for row in tab.evaluate(shown)
                if row[median][0].isdigit()]  # fmt: skip

    def click(selector: str) -> None:
        place = tab.evaluate(
            f"(one => {{ one.scrollIntoView(); const box = one.getBoundingClientRect();"
            f" return [box.x + box.width / 2, box.y + box.height / 2] }})"
            f"(document.querySelector('{selector}'))"
        )
        for kind in ("mousePressed", "mouseReleased"):
            tab.call(
                "Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1
            )

    everything = len(tab.evaluate(shown))
    click(f".sortable th:nth-child({median + 1}) button")
    assert medians() == sorted(medians()) and len(medians()) > 9
    assert not tab.evaluate(shown)[-1][median][0].isdigit()
    tab.evaluate(f"document.querySelector('.sortable th:nth-child({median + 1}) button').focus()")
    for kind in ("keyDown", "keyUp"):
        tab.call(
            "Input.dispatchKeyEvent",
            type=kind,
            key="Enter",
            code="Enter",
            windowsVirtualKeyCode=13,
            text="\r",
        )
    assert medians() == sorted(medians(), reverse=True)
    assert not tab.evaluate(shown)[-1][median][0].isdigit()
    click(".controls input")
    tab.call("Input.insertText", text="PADDLELITE")
    found = tab.evaluate(shown)
    assert {row[engine] for row in found} == {"paddlelite"} and 0 < len(found) < everything
    assert (
        tab.evaluate("document.querySelector('output').textContent") == f"{len(found)} of {everything} rows"
    )
    tab.evaluate(
        "document.querySelector('.controls input').value = '';"
        "const verdicts = [...document.querySelectorAll('.controls label')]"
        "  .find(one => one.textContent.startsWith('Verdict')).querySelector('select');"
        "verdicts.value = 'unstable'; verdicts.dispatchEvent(new Event('input'))"
    )
    assert {row[heads.index("Verdict")] for row in tab.evaluate(shown)} == {"unstable"}
    assert tab.complaints == []


@pytest.mark.slow
def test_a_sweep_fits_three_screens(browser: Browser, tmp_path: Path) -> None:
    """36 points, six of them skipped for one reason; nothing is unfolded."""
    points = []
    for model, ms in (("PPLCNet_x0_25", 1.1), ("PPLCNet_x1_0", 3.4), ("PPLCNet_x2_5", 12.5)):
        for engine in ("paddle", "onnxruntime", "openvino", "paddlelite"):
            for threads in (1, 2, 4):
                changes = {"model": model, "engine": engine, "requested_threads": threads}
                if engine == "paddlelite" and threads > 1:
                    error = PointError(message="paddlelite runs 1 thread(s) here")
                    points.append(point(status=Status.SKIPPED, error=error, **changes))
                else:
                    runs = [process(samples(ms / threads**0.7, seed=seed)) for seed in range(2)]
                    points.append(point(*runs, verdict=Verdict.VALID, **changes))
    results = [result(*points)]
    page = tmp_path / "sweep.html"
    page.write_text(as_html(results, result_rows(results), published=False), encoding="utf-8")
    for width, height in ((PHONE, 844), (DESK, 900)):
        tab = browser.open(page.as_uri(), width=width, height=height, mobile=width == PHONE)
        assert tab.evaluate("document.documentElement.scrollHeight") <= 3 * height
        assert tab.evaluate(MEDIAN) <= width


@pytest.mark.slow
@pytest.mark.parametrize(("width", "mobile"), [(PHONE, True), (DESK, False)])
def test_every_plot_can_be_read(browser: Browser, url: str, width: int, mobile: bool) -> None:
    tab = browser.open(url, width=width, height=844, mobile=mobile)
    tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    drawn = tab.evaluate(DRAWN)
    titles = [one["title"] for one in drawn]
    assert titles[: len(PLOTS)] == list(PLOTS)
    assert len(titles) == len(PLOTS) + PANELS
    for one in drawn:
        assert one["width"] > 300 and one["height"] > 120, one["title"]
        assert one["marks"] > 5 and one["texts"] > 5, one["title"]
        assert one["label"].startswith(one["title"])
        assert one["pixels"] >= LEGIBLE_PIXELS, one["title"]
        assert (one["outside"], one["covered"]) == ([], []), one["title"]


@pytest.mark.slow
def test_in_the_dark_it_is_light_on_dark(browser: Browser, url: str) -> None:
    light, dark = (
        browser.open(url, width=PHONE, height=844, dark=dark).evaluate(COLOURS) for dark in (False, True)
    )
    assert max(sum(colour) for colour in light) < 100
    assert min(sum(colour) for colour in dark) > 600
    assert browser.open(url, width=TABLET, height=844).faint() == []


@pytest.mark.slow
def test_it_is_printed_whole(browser: Browser, url: str) -> None:
    tab = browser.open(url, width=PAPER, height=1000)
    tab.call("Emulation.setEmulatedMedia", media="print")
    assert tab.evaluate("document.documentElement.scrollWidth") == PAPER
    assert tab.evaluate(HIDDEN) == 0
    assert tab.evaluate(CUT) == []
    folded = tab.evaluate(
        "[...document.querySelectorAll('details > :not(summary)')].map(one => one.offsetHeight)"
    )
    assert len(folded) > 5 and min(folded) > 10
    paper = tab.pdf()
    assert paper.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type /Page\b", paper)) <= 12


@pytest.mark.slow
def test_the_browser_would_tell(browser: Browser, tmp_path: Path) -> None:
    """The tests above see the faults that they look for."""
    page = tmp_path / "bad.html"
    page.write_text(
        '<!DOCTYPE html><meta name="viewport" content="width=device-width"><img src="http://127.0.0.1:9/x.png">'
        '<p style="width: 700px">wide</p><script>console.error("broken"); absent()</script>'
    )
    tab = browser.open(page.as_uri(), width=PHONE, height=844, mobile=True)
    assert outgoing(tab) == ["http://127.0.0.1:9/x.png"]
    assert any("broken" in one for one in tab.complaints)
    assert any("absent is not defined" in one for one in tab.complaints)
    assert tab.evaluate("document.documentElement.scrollWidth") > PHONE
    assert tab.evaluate(STICKING_OUT) == ["P wide"]
