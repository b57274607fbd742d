"""Tables and rows as text: aligned for a terminal, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

import msgspec

from edgekit.report.columns import aligned, wrapped
from edgekit.report.grid import Table
from edgekit.report.rows import Row

REPORT_SCHEMA_VERSION = 1


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The document of `report --format json`."""

    schema_version: int = REPORT_SCHEMA_VERSION
    rows: tuple[Row, ...]


def as_text(tables: Iterable[Table], *, width: int | None = None) -> str:
    """Columns aligned with blanks; what is wider than `width` characters goes on below."""
    return "\n\n".join(
        "\n".join(
            [
                wrapped(table.title, width),
                aligned((table.header, *table.rows), width),
                *(wrapped(note, width) for note in table.notes),
            ]
        )
        for table in tables
    )


def as_markdown(tables: Iterable[Table]) -> str:
    """GitHub's tables, one heading each; what Markdown would take for its own is escaped."""
    return "\n\n".join(_markdown(table) for table in tables)


def as_csv(rows: Sequence[Row]) -> str:
    """RFC 4180 with a header line, a row a point; what is None is empty."""
    names = Row.__struct_fields__
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_field(getattr(row, name)) for name in names] for row in rows)
    return out.getvalue().rstrip("\n")


def as_json(rows: Sequence[Row]) -> str:
    """A `Report`, indented."""
    return msgspec.json.format(msgspec.json.encode(Report(rows=tuple(rows))), indent=2).decode()


def _field(value: object) -> object:
    """Words that a spreadsheet would take for a formula start with an apostrophe, as OWASP advises."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r", "\n"):
        return f"'{value}"
    return value


def _markdown(table: Table) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"

    rule = "|---|" + "---:|" * (len(table.header) - 1)
    text = [f"### {_escaped(table.title)}", "", line(table.header), rule, *map(line, table.rows)]
    if table.notes:
        text += ["", *(f"- {_escaped(note)}" for note in table.notes)]
    return "\n".join(text)


def _escaped(words: str) -> str:
    """As they stand, in one line; underscores within a word are no emphasis."""
    return re.sub(r"([\\`*<>\[\]|~]|\b_(?!\w)|(?<!\w)_)", r"\\\1", " ".join(words.split()))
