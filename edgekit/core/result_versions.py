"""Read result documents: convert older versions step by step, refuse damaged ones with the JSON path."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from edgekit.core.measurement import RESULT_SCHEMA_VERSION, Result

Document = dict[str, Any]

WORD = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{},:]|[^\s\[\]{},:"]+', re.DOTALL)
VERSION = re.compile(rb'\s*\{\s*"schema_version":\s*(\d{1,9})\s*,')
MALFORMED = re.compile(r"\(byte (\d+)\)")


class ResultFormatError(ValueError):
    """A document cannot be read as a result; the message ends with the JSON path."""


class NewerVersionError(ResultFormatError):
    """A newer edgekit wrote the document."""


class _Version(msgspec.Struct):
    schema_version: int


def decode_result(content: bytes) -> Result:
    """Decode a result document of the present or any older version.

    Raises:
        ResultFormatError: The document is cut off, damaged, has wrong types, or is of an unknown version.
    """
    try:
        version = _version(content)
        if version == RESULT_SCHEMA_VERSION:
            return _present(content)
        return msgspec.convert(_upgraded(msgspec.json.decode(content), version), Result)
    except ResultFormatError:
        raise
    except msgspec.ValidationError as error:
        raise ResultFormatError(_with_place(str(error))) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise ResultFormatError(f"{error} - at `{_place(content, error)}`") from error
    except RecursionError as error:
        raise ResultFormatError(_with_place("nested too deep")) from error


def _version(content: bytes) -> int:
    """Return the version of a document; read only its beginning where the version is the first field."""
    first = VERSION.match(content)
    return int(first[1]) if first else msgspec.json.decode(content, type=_Version).schema_version


def _present(content: bytes) -> Result:
    try:
        return msgspec.json.decode(content, type=Result)
    except msgspec.ValidationError:
        # A cut-off document gets the message about the cut.
        msgspec.json.decode(content, type=_Version)
        raise


def _with_place(message: str) -> str:
    """Append the path of the whole document to a message that names no path."""
    return message if message.endswith("`") and " - at `$" in message else f"{message} - at `$`"


def _upgraded(document: Document, version: int) -> Document:
    """Convert a document to the present version; types are checked afterwards."""
    known = f"this edgekit reads {min(UPGRADES)} to {RESULT_SCHEMA_VERSION} - at `$.schema_version`"
    if version > RESULT_SCHEMA_VERSION:
        raise NewerVersionError(f"schema_version {version}, {known}")
    if version not in UPGRADES:
        raise ResultFormatError(f"schema_version {version}, {known}")
    for step in range(version, RESULT_SCHEMA_VERSION):
        UPGRADES[step](document)
        document["schema_version"] = step + 1
    return document


def _from_1(document: Document) -> None:
    """Remove the frequency limits: version 1 recorded the hardware's limits, not the momentary ones."""
    for environment in _environments(document):
        for core in _dicts(environment.get("cores")):
            core.pop("max_frequency_khz", None)


def _from_2(document: Document) -> None:
    """Add the options, which version 2 lacks."""
    document["options"] = None


UPGRADES: dict[int, Callable[[Document], None]] = {1: _from_1, 2: _from_2}
"""Step from each version to the next; a step changes the document in place."""


def _environments(document: Document) -> Iterator[Document]:
    for point in _dicts(document.get("points")):
        yield from _dicts([point.get("environment_before"), point.get("environment_after")])
        for process in _dicts(point.get("processes")):
            yield from _dicts(process.get("readings"))


def _dicts(values: object) -> Iterator[Document]:
    """Yield the objects in an array; yield nothing for any other value."""
    yield from (value for value in values if isinstance(value, dict)) if isinstance(values, list) else ()


def _place(content: bytes, error: Exception) -> str:
    """Return the JSON path at which a text stops being valid JSON."""
    found = MALFORMED.search(str(error))
    end = error.start if isinstance(error, UnicodeDecodeError) else int(found[1]) if found else len(content)
    path: list[str | int] = []
    keys = ""
    for word in WORD.findall(content[:end].decode(errors="replace")):
        if word in "[{":
            path.append(0 if word == "[" else "")
        elif word in "]}":
            del path[-1:]
        elif word == ",":
            if path and isinstance(path[-1], int):
                path[-1] += 1
        elif word == ":":
            if path:
                path[-1] = keys
        else:
            keys = word.strip('"')
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" * bool(step) for step in path)
