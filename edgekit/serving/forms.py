"""Pictures in the body of a request: one as it is, or several as the parts of a form."""

from __future__ import annotations

import re

from edgekit.errors import InputError

WHAT_IS_SENT = "the body is a picture, or multipart/form-data with a picture in each part"


def read_files(content: bytes, content_type: str) -> list[tuple[str, bytes]]:
    """Return names and contents of the pictures in a request's body.

    Raises:
        InputError: The body is empty, or its parts are not readable.
    """
    kind, _, parameters = content_type.partition(";")
    if kind.strip().lower() != "multipart/form-data":
        if not content:
            raise InputError(f"reading the request: it is empty; {WHAT_IS_SENT}")
        return [("", content)]
    found = re.search(r'boundary="?([^";]+)"?', parameters)
    if found is None:
        raise InputError(f"reading the request: its boundary is not said; {WHAT_IS_SENT}")
    # RFC 2046, section 5.1.1: the line end before a boundary belongs to the boundary.
    parts = (b"\r\n" + content).split(b"\r\n--" + found[1].strip().encode())
    if len(parts) < 3 or not parts[-1].startswith(b"--"):
        raise InputError(f"reading the request: no whole part with its boundary; {WHAT_IS_SENT}")
    return [_part(part) for part in parts[1:-1]]


def _part(part: bytes) -> tuple[str, bytes]:
    head, separator, content = part.partition(b"\r\n\r\n")
    if not separator:
        raise InputError(f"reading the request: a part has no end of its head; {WHAT_IS_SENT}")
    name = re.search(r'filename="([^"]*)"', head.decode("utf-8", "replace"))
    return "" if name is None else name[1], content
