"""Writes the APK's ZIP: equal input gives equal bytes, and what is mapped into memory is aligned.

Native libraries that are stored begin at multiples of 16 KB, so that Android loads them from the APK on
devices with pages of that size; Debian's zipalign knows 4 KB only. The padding stands in the local header's
extra field 0xd935, as AGP and apksigner write it (apksigner keeps it so).
Format: PKWARE APPNOTE 6.3.3, sections 4.3 and 4.4.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import msgspec

LIBRARY_ALIGNMENT = 16 * 1024
DATA_ALIGNMENT = 4
ALIGNMENT_FIELD = 0xD935
# 1981-01-01 01:01:02, the time that AGP gives every entry.
DOS_TIME = 1 << 11 | 1 << 5 | 1
DOS_DATE = 1 << 9 | 1 << 5 | 1
STORED = 0
DEFLATED = 8


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the APK.

    Attributes:
        name: Its path inside, with `/`.
        data: Its content.
        stored: Not compressed; aligned.
        deflated: The content as `deflate` compresses it, where that is known; computed otherwise.
    """

    name: str
    data: bytes
    stored: bool = False
    deflated: bytes | None = None

    @property
    def alignment(self) -> int:
        """Bytes of whose multiple a stored entry's content begins."""
        return LIBRARY_ALIGNMENT if self.name.endswith(".so") else DATA_ALIGNMENT


def write_archive(path: Path, entries: Iterable[Entry]) -> None:
    """Write entries in the order given."""
    directory = bytearray()
    count = 0
    with path.open("wb") as file:
        for entry in entries:
            directory += _write_entry(file, entry)
            count += 1
        start = file.tell()
        file.write(directory)
        file.write(struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(directory), start, 0))


def _write_entry(file: BinaryIO, entry: Entry) -> bytes:
    """Write the local header and the content; returns the entry of the central directory."""
    offset = file.tell()
    name = entry.name.encode()
    data = entry.data if entry.stored else entry.deflated or deflate(entry.data)
    extra = _padding(offset + 30 + len(name), entry.alignment) if entry.stored else b""
    method = STORED if entry.stored else DEFLATED
    version = 10 if entry.stored else 20
    flags = 0x0800  # the name is UTF-8
    common = struct.pack(
        "<5H3I",
        version,
        flags,
        method,
        DOS_TIME,
        DOS_DATE,
        zlib.crc32(entry.data),
        len(data),
        len(entry.data),
    )
    file.write(b"PK\x03\x04" + common + struct.pack("<2H", len(name), len(extra)) + name + extra)
    file.write(data)
    tail = struct.pack("<5H2I", len(name), 0, 0, 0, 0, 0, offset)
    return b"PK\x01\x02" + struct.pack("<H", version) + common + tail + name


def deflate(data: bytes) -> bytes:
    """Compress as ZIP's method 8 does."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return compressor.compress(data) + compressor.flush()


def _padding(position: int, alignment: int) -> bytes:
    """An extra field that moves what follows a header ending at `position` to the alignment."""
    least = 6  # the field's own header and the alignment it states
    zeros = -(position + least) % alignment
    return struct.pack("<3H", ALIGNMENT_FIELD, 2 + zeros, alignment) + bytes(zeros)


class PlacedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of a finished APK.

    Attributes:
        data_offset: Offset of its content in the APK.
        stored_bytes: Its size in the APK.
        size_bytes: Its uncompressed size.
    """

    name: str
    data_offset: int
    stored_bytes: int
    size_bytes: int
    stored: bool


def read_entries(path: Path) -> list[PlacedEntry]:
    """List every entry of an APK with the offset of its content."""
    import zipfile

    placed = []
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for info in archive.infolist():
            file.seek(info.header_offset + 26)
            name_length, extra_length = struct.unpack("<2H", file.read(4))
            placed.append(
                PlacedEntry(
                    name=info.filename,
                    data_offset=info.header_offset + 30 + name_length + extra_length,
                    stored_bytes=info.compress_size,
                    size_bytes=info.file_size,
                    stored=info.compress_type == STORED,
                )
            )
    return placed
