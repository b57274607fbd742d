"""Sources of pictures: files, directories, bytes and arrays, one after the other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit._files import PICTURE_BYTES, read_bytes
from edgekit.errors import InputError
from edgekit.vision.decode import NOT_A_PICTURE_HINT, Canvas, decode, from_array

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.vision.decode import Pixels

    Source = str | Path | bytes | NDArray[np.uint8]

# Name endings of pictures inside a directory; a file that is named itself is always tried.
SUFFIXES = frozenset(
    f".{word}"
    for word in ("jpg", "jpeg", "jpe", "png", "bmp", "webp", "tif", "tiff", "gif", "jp2", "avif", "ppm")
)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture, not read yet.

    Attributes:
        name: The path as it was given or found, `bytes 0` or `array 0`.
        source: Path or content of the picture.
    """

    name: str
    source: Path | bytes | NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A source that is no picture: its name and its error."""

    name: str
    error: InputError


def read_picture(picture: Picture, *, shrink_to: int | None = None, canvas: Canvas | None = None) -> Pixels:
    """Return the pixels of a picture, uint8[H,W,3] BGR; pass `shrink_to` and `canvas` on to `decode`.

    Raises:
        InputError: The file cannot be read or is no picture.
    """
    source = picture.source
    if isinstance(source, Path):
        source = read_bytes(source, "picture", hint=NOT_A_PICTURE_HINT, most_bytes=PICTURE_BYTES)
    if isinstance(source, bytes):
        return decode(source, picture.name, shrink_to=shrink_to, canvas=canvas)
    return from_array(source, picture.name)


def find_pictures(paths: Sequence[str | Path]) -> list[Picture | Unreadable]:
    """Yield the named files, and all pictures below the named directories, each directory in sorted order."""
    found: list[Picture | Unreadable] = []
    for path in map(Path, paths):
        if not path.is_dir():
            found.append(Picture(name=_name(path), source=path))
            continue
        inside = sorted(_walk(path), key=str)  # PaddleClas's order: by the whole path
        found += (Picture(name=_name(file), source=file) for file in inside)
        if not inside:
            error = InputError(
                f"looking for pictures below {path}: none with a known suffix",
                hint="name the files, or a directory that holds JPEG or PNG files",
            )
            found.append(Unreadable(name=str(path), error=error))
    return found


def _name(path: Path) -> str:
    r"""Return a path as text that JSON can hold: a byte that is not UTF-8 is written out, `\xe9`."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _walk(directory: Path) -> Iterator[Path]:
    for root, directories, files in os.walk(directory):
        directories[:] = [name for name in directories if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield Path(root, name)


def iterate_pictures(sources: Source | Iterable[Source]) -> Iterator[Picture | Unreadable]:
    """Yield paths, directories, bytes and arrays as pictures, lazily; a single source is accepted too.

    Raises:
        InputError: A source has another type.
    """
    for index, source in enumerate(_each(sources)):
        if isinstance(source, (str, os.PathLike)):
            yield from find_pictures([source])
        elif isinstance(source, (bytes, bytearray, memoryview)):
            yield Picture(name=f"bytes {index}", source=bytes(source))
        elif hasattr(source, "dtype") and hasattr(source, "shape"):
            yield Picture(name=f"array {index}", source=source)
        else:
            raise InputError(
                f"reading picture {index}: {type(source).__name__} is not a path, bytes or an array",
                hint="pass a path, the bytes of a file, or uint8[H,W,3] in RGB order",
            )


def _each(sources: Source | Iterable[Source]) -> Iterable[Source]:
    if isinstance(sources, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(sources, "dtype"):
        return (sources,)  # type: ignore[return-value]
    return sources
