"""Tables and rows as text: aligned for a terminal, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

import msgspec

from edgekit.report.grid import Table
from edgekit.report.rows import Row

REPORT_SCHEMA_VERSION = 1


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The document of `report --format json`."""

    schema_version: int = REPORT_SCHEMA_VERSION
    rows: tuple[Row, ...]


def as_text(tables: Iterable[Table]) -> str:
    """Columns aligned with blanks."""
    return "\n\n".join(_aligned(table) for table in tables)


def as_markdown(tables: Iterable[Table]) -> str:
    """GitHub's tables, one heading each; a bar inside a cell is escaped."""
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
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value


def _aligned(table: Table) -> str:
    lines = [table.header, *table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.header))]
    rule = tuple("-" * width for width in widths)
    text = [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
        for line in (table.header, rule, *table.rows)
    ]
    return "\n".join([table.title, *text, *table.notes])


def _markdown(table: Table) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    rule = "|---|" + "---:|" * (len(table.header) - 1)
    text = [f"### {table.title}", "", line(table.header), rule, *map(line, table.rows)]
    if table.notes:
        text += ["", *(f"- {note.replace(chr(10), ' ').replace('*', chr(92) + '*')}" for note in table.notes)]
    return "\n".join(text)
