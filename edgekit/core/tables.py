"""Tables of words for every renderer."""

from __future__ import annotations

import msgspec


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of words for any renderer; a cell may have several lines.

    Attributes:
        title: Line above the table; empty for none.
        header: Headings of the columns; empty for a list, whose columns are never split into blocks.
        words: Numbers of the text columns, from 0; the other columns hold figures. A list is all text.
        joined: Numbers of the columns that are never parted from the column before them.
        filters: Numbers of the columns by whose values a page lets its readers filter the rows; a table with
            any can also be sorted there, and is never split.
        points: Numbers of the points (`Row.number`) that cells show, by row and column from 0; a page links
            them to the points' verdicts.
        notes: Lines below the table.
        colours: The cells contain terminal colours, and no words from a file or a device.
    """

    title: str = ""
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    words: tuple[int, ...] = (0,)
    joined: tuple[int, ...] = ()
    filters: tuple[int, ...] = ()
    points: dict[tuple[int, int], int] = {}
    notes: tuple[str, ...] = ()
    colours: bool = False
