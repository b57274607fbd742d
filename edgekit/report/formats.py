"""Rows of results as CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import msgspec

from edgekit._text import json_printable, printable
from edgekit.report.rows import Row

REPORT_SCHEMA_VERSION = 1


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Document of `report --format json`."""

    schema_version: int = REPORT_SCHEMA_VERSION
    rows: tuple[Row, ...]


def as_csv(rows: Sequence[Row]) -> str:
    """Return RFC 4180 CSV with a header line and one row a point; None becomes an empty field."""
    names = Row.__struct_fields__
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(map(_field, msgspec.structs.astuple(row)) for row in rows)
    return printable(out.getvalue().rstrip("\n"))


def csv_line(values: Sequence[object]) -> str:
    """Return one line of RFC 4180 CSV without its end."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(map(_field, values))
    return printable(out.getvalue())


def as_json(rows: Sequence[Row]) -> str:
    """Return a `Report` as indented JSON."""
    document = msgspec.json.format(msgspec.json.encode(Report(rows=tuple(rows))), indent=2)
    return json_printable(document.decode())


def _field(value: object) -> object:
    """Prefix text that a spreadsheet would take for a formula with an apostrophe, as OWASP advises."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r", "\n"):
        return f"'{value}"
    return value
