"""Markdown, CSV and tables in a narrow terminal keep their contents where they are pasted."""

from __future__ import annotations

import io
from html.parser import HTMLParser

import msgspec
import pytest
from markdown_it import MarkdownIt

from edgekit.core.measurement import PointError, Status, Verdict
from edgekit.report.formats import as_csv
from edgekit.report.grid import Table, facts
from edgekit.report.rows import Row, result_rows
from edgekit.report.table import latency_table
from edgekit.report.tables import published_tables
from edgekit.report.text import as_markdown, as_text
from tests.points import point, process, result, samples

NAMES = (
    "PPLCNet_x1_0",
    "own<script>|net",
    "a*b*c",
    "_framed_",
    "`code`",
    "back\\slash|",
    "[link](http://x)",
    "two\nlines",
    "~~gone~~",
    "ümläut, with comma",
    '"quoted"',
    "=1+1",
    "+1",
    "-1",
    "@a",
)


def rows(**changes: object) -> list[Row]:
    """A point a name, one of them unstable, and one that was skipped."""
    run = process(samples(3.0))
    points = [point(run, model=name, verdict=Verdict.VALID) for name in NAMES]
    points[1] = point(run, model=NAMES[1], verdict=Verdict.UNSTABLE, reasons=("a*b: `rest`", "<b>|_c_"))
    points.append(
        point(status=Status.SKIPPED, engine="paddlelite", error=PointError(message="1 *only*\nmore"))
    )
    return result_rows([result(*points, **changes)])


class Rendered(HTMLParser):
    """Cells of tables, headings and list items of a rendered page, and every tag in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.found: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag in ("td", "th", "h3", "li"):
            self.found.append((tag, ""))

    def handle_data(self, data: str) -> None:
        if self.found and data.strip():
            tag, text = self.found[-1]
            self.found[-1] = (tag, text + data)

    def all(self, tag: str) -> list[str]:
        return [text.strip() for found, text in self.found if found == tag]


def test_markdown_renders_as_the_tables_are() -> None:
    tables = published_tables(rows(), published=True)
    text = as_markdown(tables)
    page = Rendered(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text))
    assert page.tags == {"h3", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    assert page.all("h3") == [table.title for table in tables]
    assert page.all("th") == [cell for table in tables for cell in table.header]
    flat = [" ".join(cell.split()) for table in tables for line in table.rows for cell in line]
    assert page.all("td") == flat
    assert page.all("li") == [" ".join(note.split()) for table in tables for note in table.notes]


def test_markdown_leaves_ordinary_names_alone() -> None:
    assert "| PPLCNet_x1_0 | 2.96 | 160.81 |" in as_markdown(published_tables(rows(), published=False))


def test_csv_is_a_frame_of_its_columns() -> None:
    pandas = pytest.importorskip("pandas")
    made = rows()
    frame = pandas.read_csv(io.StringIO(as_csv(made)), keep_default_na=False, na_values=[""])
    assert list(frame.columns) == list(Row.__struct_fields__)
    assert len(frame) == len(made)
    assert frame["latency_ms"].tolist()[:-1] == [row.latency_ms for row in made][:-1]
    assert frame["latency_ms"].isna().tolist() == [row.latency_ms is None for row in made]
    assert frame["requested_threads"].dtype == "int64"
    assert frame["model"].tolist()[:11] == list(NAMES[:11])


def test_no_spreadsheet_computes_what_a_name_says() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(io.StringIO(as_csv(rows())))
    for name in ("=1+1", "+1", "-1", "@a"):
        assert f"'{name}" in frame["model"].tolist()
    assert not frame["model"].str.startswith(("=", "+", "-", "@")).any()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_tables_keep_to_the_terminal(width: int) -> None:
    run = process(samples(3.0), load_ns=5_000_000, first_run_ns=4_000_000, peak_memory_bytes=9_000_000)
    points = [
        point(run, model=model, engine=engine, requested_threads=threads, batch_size=batch,
              verdict=Verdict.UNSTABLE, reasons=("other processes were busy (make, cc1plus): end them",))
        for model in ("PPLCNet_x0_25", "PPHGNet_base_ssld")
        for engine in ("onnxruntime", "paddle", "openvino")
        for threads in (1, 2, 4)
        for batch in (1, 8)
    ]  # fmt: skip
    measured = result(*points)
    whole, narrow = latency_table(measured), latency_table(measured, width=width)
    assert max(map(len, whole.splitlines())) > 120
    assert max(map(len, narrow.splitlines())) <= width
    assert narrow.count("3.0") == whole.count("3.0")
    tables = published_tables(result_rows([measured]), published=True)
    text = as_text(tables, width=width)
    assert max(map(len, text.splitlines())) <= width
    assert text.split().count("PPHGNet_base_ssld") >= 2 * len(tables)
    for table in tables:
        for line in table.rows:
            for cell in line:
                assert cell in text


def test_a_point_that_was_never_begun_is_called_interrupted() -> None:
    begun = point(process(samples(3.0)), status=Status.INTERRUPTED)
    measured = result(begun, point(status=Status.INTERRUPTED, model="PPLCNet_x0_5"))
    (table,) = published_tables(result_rows([measured]), published=False)
    assert [line[-1] for line in table.rows] == ["3.00", "interrupted"]


def test_a_result_without_points_says_so() -> None:
    assert latency_table(result()).endswith("no points")


def test_characters_of_two_cells_keep_the_columns_aligned() -> None:
    from rich.cells import cell_len

    table = Table(header=("Label", "share"), rows=(("母鸡", "0.91"), ("hen, rooster", "0.05")))
    assert len({cell_len(line) for line in as_text([table]).splitlines()}) == 1


def test_a_table_that_fits_looks_as_rich_draws_it() -> None:
    cells = ("母鸡", "3.00*", "-", "", "e\u0301", "two\nlines", " indented", "🎉")
    for shift in range(len(cells)):
        row, other, heading = ((cells[shift:] + cells[:shift])[first : first + 3] for first in (0, 2, 5))
        for header in ((), heading):
            fits = Table(header=header, rows=(row, other), words=(0, 2))
            # Tables with colours are drawn by rich.
            assert as_text([fits]) == as_text([msgspec.structs.replace(fits, colours=True)])


def test_a_list_is_folded_beside_its_names() -> None:
    text = as_text([facts([("purpose", "word " * 20), ("nothing", None)])], width=40)
    first, *others = text.splitlines()
    assert first.startswith("purpose  word")
    assert others and all(line.startswith(" " * 9 + "word") for line in others)
    assert "nothing" not in text
