"""Text from files and devices made safe for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Controls (a terminal obeys them, C1 too), what changes the direction of text, and halves of surrogate pairs
# (the bytes of a file name that is not UTF-8). Line feed and tab lay out messages and stay.
_UNSAFE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Return text with control characters written out: `\x1b`, `\u202e`; line feeds and tabs stay."""
    return _UNSAFE.sub(_written_out, text)


def one_line(text: str) -> str:
    r"""Return printable text on one line: line feeds and tabs are written out too."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def json_printable(document: str) -> str:
    r"""Return a JSON document with the same content, whose strings hold no control characters.

    JSON escapes those below `\x20` by itself.
    """
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", document)


def nearest(word: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Return the known words that a word may have been meant for, the nearest first; case does not count."""
    import difflib

    by_lower = {each.lower(): each for each in known}
    return [by_lower[one] for one in difflib.get_close_matches(word.lower(), by_lower, n=most, cutoff=0.6)]


def _written_out(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
