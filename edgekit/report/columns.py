"""Columns aligned with blanks, in as many blocks one below the other as a terminal's width asks for."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

GAP = "  "


def split(first: int, widths: Sequence[int], limit: int | None) -> list[range]:
    """Which columns stand in each block: as many as `limit` characters take, at least one.

    Args:
        first: Width of the first column, which every block repeats.
        widths: Of the other columns, numbered from 0 in what is returned.
        limit: None takes them all.
    """
    blocks, start, used = [], 0, first
    for number, width in enumerate(widths):
        if limit is not None and number > start and used + len(GAP) + width > limit:
            blocks.append(range(start, number))
            start, used = number, first
        used += len(GAP) + width
    return [*blocks, range(start, len(widths))]


def aligned(lines: Sequence[Sequence[str]], limit: int | None) -> str:
    """Lines of cells with a rule below the first; words stand left in the first column, figures right."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    blocks = []
    for chosen in split(widths[0], widths[1:], limit):
        columns = [0, *(number + 1 for number in chosen)]
        rule = ["-" * width for width in widths]
        block = [[line[column] for column in columns] for line in (lines[0], rule, *lines[1:])]
        blocks.append("\n".join(row(line, [widths[column] for column in columns]) for line in block))
    return "\n\n".join(blocks)


def row(cells: Sequence[str], widths: Sequence[int]) -> str:
    """One line of a block."""
    right = [text.rjust(width) for text, width in zip(cells[1:], widths[1:], strict=True)]
    return GAP.join([cells[0].ljust(widths[0]), *right]).rstrip()


def wrapped(note: str, limit: int | None) -> str:
    """A note in lines of that length, all but the first indented; words that are longer stay whole."""
    if limit is None:
        return note
    return textwrap.fill(note, limit, subsequent_indent=GAP, break_long_words=False, break_on_hyphens=False)
