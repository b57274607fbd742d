"""Find and read result files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

import msgspec

from edgekit._files import RESULT_BYTES, read_bytes
from edgekit.bench.journal import journal_path, settle
from edgekit.core.measurement import Result
from edgekit.core.result_versions import NewerVersionError, ResultFormatError, decode_result
from edgekit.errors import InputError

RESULTS = Path("results")


def default_path(started_at: datetime, target: str) -> Path:
    """Return the default path of a result file, e.g. `results/20261123T114500Z-host.json`."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", target).strip("-")
    return RESULTS / f"{started_at:%Y%m%dT%H%M%SZ}-{name}.json"


def load_result(path: Path) -> Result:
    """Read a result file of this or an older version, with the turns in its journal where it has one.

    Raises:
        InputError: It is missing, no result file, damaged, or of a newer edgekit; with the place in it.
    """
    hint = "edgekit bench writes one"
    content = settle(path) or read_bytes(path, "the result file", hint=hint, most_bytes=RESULT_BYTES)
    try:
        return decode_result(content)
    except NewerVersionError as error:
        raise InputError(f"reading {path}: {error}", hint="pip install --upgrade edgekit") from error
    except ResultFormatError as error:
        raise InputError(
            f"reading {path}: not a result file of edgekit bench: {error}",
            hint="edgekit bench … -o FILE writes one",
        ) from error


class _Outline(msgspec.Struct):
    """The field that only documents of `bench` have."""

    points: msgspec.Raw | None = None


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Result files that were read, and the paths of documents of other commands beside them."""

    results: dict[Path, Result]
    others: tuple[Path, ...]


def load_results(places: Iterable[Path], keep: Callable[[Result], Result] | None = None) -> Found:
    """Read each named file once, and of each directory every `*.json` that bench wrote, by name.

    Args:
        places: Files and directories.
        keep: Called with each result as soon as it is read; the answer is kept instead.

    Raises:
        InputError: A file cannot be read, as `load_result` says; or a directory has no document.
    """
    results: dict[Path, Result] = {}
    others = []
    seen: set[str] = set()
    for place in places:
        paths = _in_directory(place) if place.is_dir() else [place]
        real = [os.path.realpath(path) for path in paths]
        for path, own in zip(paths, real, strict=True):
            if own in seen:
                continue
            try:
                result = load_result(path)
            except InputError:
                if path is place or not is_another(path):
                    raise
                others.append(path)
            else:
                results[path] = result if keep is None else keep(result)
            seen.add(own)
        if seen.isdisjoint(real):
            raise InputError(f"looking for result files in {place}: none in it", hint="edgekit bench")
    return Found(results=results, others=tuple(others))


def _in_directory(place: Path) -> list[Path]:
    """Return the paths of all result files in a directory by name, including those with only a journal."""
    journals = place.glob(journal_path(Path("*.json")).name)
    return sorted({*place.glob("*.json"), *(path.with_suffix("") for path in journals)})


def is_another(path: Path) -> bool:
    """Return whether a file is a whole JSON document without points: another command wrote it."""
    try:
        content = read_bytes(path, "the result file", most_bytes=RESULT_BYTES)
        # The boxes of a detector's accuracy are a list.
        found = msgspec.json.decode(content, type=_Outline | list[msgspec.Raw])
    except (msgspec.DecodeError, ValueError):
        return False
    return isinstance(found, list) or found.points is None
