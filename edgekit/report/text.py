"""Tables as text: aligned for a terminal, and Markdown."""

from __future__ import annotations

import io
import itertools
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from edgekit._text import printable
from edgekit.report.grid import Table

# Number of spaces between columns.
GAP = 2
# Width that never limits a line.
WIDEST = 10_000
# Most cells are numbers or one word of these characters, which mean nothing to Markdown or a terminal.
PLAIN = re.compile(r"[0-9A-Za-z.,:;%/()+=-]*")


def as_text(tables: Iterable[Table], *, width: int | None = None) -> str:
    """Return columns aligned with spaces.

    Args:
        tables: Tables without markup.
        width: Characters a line; None for any number. Columns that do not fit continue in a block
            below, and cells that do not fit are folded.
    """
    return "\n\n".join(_text(_made_printable(table), width) for table in tables)


def _made_printable(table: Table) -> Table:
    """Return a table whose words cannot steer a terminal; they may come from a file or a device."""
    return msgspec.structs.replace(
        table,
        title=printable(table.title),
        header=tuple(map(printable, table.header)),
        rows=table.rows if table.colours else tuple(tuple(map(printable, row)) for row in table.rows),
        notes=tuple(map(printable, table.notes)),
    )


def _text(table: Table, width: int | None) -> str:
    parts = [_wrapped(table.title, width)] if table.title else []
    if table.header or table.rows:
        widths = _widths(table)
        blocks = column_blocks(table, widths, width)
        parts.append("\n\n".join(_block(table, columns, widths, width) for columns in blocks))
    return "\n".join([*parts, *(_wrapped(note, width) for note in table.notes)])


def _widths(table: Table) -> list[int]:
    """Return the width of each column in characters of a terminal."""
    from rich.cells import cell_len

    lines = [table.header, *table.rows] if table.header else table.rows
    return [
        max(cell_len(part) for cell in column for part in cell.split("\n"))
        for column in zip(*lines, strict=True)
    ]


def column_blocks(table: Table, widths: Sequence[int], limit: int | None) -> list[list[int]]:
    """Return the columns of each block, as many as fit `limit` characters; each repeats the first column.

    Joined columns stay together.
    """
    if limit is None or not table.header:
        return [[*range(len(widths))]]
    groups: list[list[int]] = []
    for column in range(1, len(widths)):
        if column in table.joined and groups:
            groups[-1].append(column)
        else:
            groups.append([column])
    blocks = [[0]]
    used = widths[0]
    for group in groups:
        width = sum(GAP + widths[column] for column in group)
        if len(blocks[-1]) > 1 and used + width > limit:
            blocks.append([0])
            used = widths[0]
        blocks[-1] += group
        used += width
    return blocks


def _block(table: Table, columns: Sequence[int], widths: Sequence[int], limit: int | None) -> str:
    needed = sum(widths[column] + GAP for column in columns) - GAP
    if table.colours or (limit is not None and needed > limit):
        return _folded(table, columns, limit)
    lines = []
    if table.header:
        high = max(heading.count("\n") for heading in table.header)
        headings = [table.header[column] for column in columns]
        lowered = ["\n" * (high - heading.count("\n")) + heading for heading in headings]
        rule = ["-" * (widths[column] + GAP - 1) for column in columns[:-1]]
        lines = [
            *_lines(table, columns, widths, lowered),
            " ".join([*rule, "-" * (widths[columns[-1]] or 1)]),
        ]
    for row in table.rows:
        lines += _lines(table, columns, widths, [row[column] for column in columns])
    return "\n".join(lines)


def _lines(
    table: Table, columns: Sequence[int], widths: Sequence[int], cells: Sequence[str]
) -> Iterator[str]:
    """Yield the lines of one row whose cells fit their columns."""
    from rich.cells import cell_len

    parts = itertools.zip_longest(*(cell.split("\n") for cell in cells), fillvalue="")
    for line in parts:
        words = []
        for column, word in zip(columns, line, strict=True):
            space = " " * (widths[column] - cell_len(word))
            words.append(word + space if not table.header or column in table.words else space + word)
        yield (" " * GAP).join(words).rstrip()


def _folded(table: Table, columns: Sequence[int], limit: int | None) -> str:
    """Draw columns with rich, which folds the cells of the widest ones and knows colours."""
    from rich.box import Box
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    ruled = Box("    \n    \n -  \n    \n    \n    \n    \n    \n", ascii=True)
    grid = Grid(box=ruled, show_header=bool(table.header), show_edge=False, padding=(0, GAP - 1, 0, 0),
                pad_edge=False, header_style="")  # fmt: skip
    lines = max((heading.count("\n") for heading in table.header), default=0)
    for column in columns:
        text = not table.header or column in table.words
        heading = table.header[column] if table.header else ""
        lowered = "\n" * (lines - heading.count("\n")) + heading
        grid.add_column(Text(lowered), justify="left" if text else "right", overflow="fold")
    for row in table.rows:
        grid.add_row(*(Text.from_ansi(row[column]) for column in columns))
    console = Console(file=io.StringIO(), width=limit or WIDEST, force_terminal=True, color_system="standard")
    with console.capture() as capture:
        console.print(grid)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _wrapped(note: str, limit: int | None) -> str:
    """Wrap a note to this length and indent all lines but the first; longer words stay whole."""
    if limit is None:
        return note
    return textwrap.fill(
        note, limit, subsequent_indent=" " * GAP, break_long_words=False, break_on_hyphens=False
    )


def as_markdown(tables: Iterable[Table]) -> str:
    """Return GitHub's tables, each with a heading; Markdown's special characters are escaped."""
    return "\n\n".join(_markdown(table) for table in tables)


def _markdown(table: Table) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"

    text = [f"### {_escaped(table.title)}"]
    columns = range(len(table.header))
    rule = "|" + "|".join("---" if column in table.words else "---:" for column in columns) + "|"
    if table.header:
        text += ["", line(table.header), rule, *map(line, table.rows)]
    if table.notes:
        text += ["", *(f"- {_escaped(note)}" for note in table.notes)]
    return "\n".join(text)


def _escaped(words: str) -> str:
    """Return text on one line with special characters escaped; underscores within a word need no escape."""
    if PLAIN.fullmatch(words):
        return words
    text = printable(" ".join(words.split()))
    return re.sub(r"([\\`*<>\[\]|~]|\b_(?!\w)|(?<!\w)_)", r"\\\1", text)
