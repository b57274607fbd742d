"""Checks of a finished APK: signature, alignment, native libraries, sizes."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit._files import sha256_file
from edgekit.android.archive import LIBRARY_ALIGNMENT, PlacedEntry, read_entries
from edgekit.android.project import ABIS
from edgekit.android.signing import verify_signature
from edgekit.android.tools import BuildTools
from edgekit.errors import ToolError

PT_LOAD = 1


class ApkReport(msgspec.Struct, frozen=True, kw_only=True):
    """An APK that passed its checks.

    Attributes:
        size_without_models_bytes: Size of the APK without the bundled models.
        app_dex_bytes: Dex of the app's own classes.
        signer_sha256: SHA-256 of the signing certificate.
        debug_key: Signed with this user's debug key.
        versions: Tools and libraries that it was built with.
        notes: Remarks for the user, e.g. a library without 16 KB pages.
    """

    path: str
    sha256: str
    size_bytes: int
    size_without_models_bytes: int
    app_dex_bytes: int
    signer_sha256: str
    versions: dict[str, str]
    abis: tuple[str, ...] = ()
    engine: str = ""
    models: tuple[str, ...] = ()
    debug_key: bool = False
    notes: tuple[str, ...] = ()


def check_apk(
    tools: BuildTools,
    apk: Path,
    *,
    abis: Sequence[str],
    unpacked: bool,
    app_dex_bytes: int,
    versions: dict[str, str],
) -> ApkReport:
    """Check an APK, which must have native libraries for each ABI of `abis`.

    Args:
        tools: The programs of the build.
        apk: The APK.
        abis: Machines that it is for.
        unpacked: Its native libraries are compressed, and Android unpacks them.
        app_dex_bytes: For the report.
        versions: For the report.

    Raises:
        ToolError: It is not signed right, misaligned, or lacks a part.
    """
    signer = verify_signature(tools, apk)
    tools.run_native(tools.zipalign, ["-c", "-p", "4", apk], f"checking the alignment of {apk}")
    entries = read_entries(apk)
    _check_parts(entries)
    notes = _check_libraries(apk, entries, abis, unpacked=unpacked)
    models = sum(entry.stored_bytes for entry in entries if entry.name.startswith("assets/models/"))
    size = apk.stat().st_size
    return ApkReport(
        path=str(apk),
        sha256=sha256_file(apk),
        size_bytes=size,
        size_without_models_bytes=size - models,
        app_dex_bytes=app_dex_bytes,
        signer_sha256=signer,
        versions=versions,
        abis=tuple(abis),
        notes=tuple(notes),
    )


def _check_parts(entries: list[PlacedEntry]) -> None:
    names = [entry.name for entry in entries]
    for name in ("AndroidManifest.xml", "resources.arsc", "classes.dex"):
        if names.count(name) != 1:
            raise ToolError(f"checking the app: {names.count(name)} entries {name} instead of one")
    for entry in entries:
        if entry.name == "resources.arsc" and (not entry.stored or entry.data_offset % 4):
            # Android 11 and later refuse to install it otherwise.
            raise ToolError("checking the app: resources.arsc is compressed or misaligned")


def _check_libraries(
    apk: Path, entries: list[PlacedEntry], abis: Sequence[str], *, unpacked: bool
) -> list[str]:
    notes = []
    libraries = [entry for entry in entries if entry.name.startswith("lib/")]
    with zipfile.ZipFile(apk) as archive:
        for entry in libraries:
            # Android unpacks compressed ones, or loads stored ones out of the APK, as the manifest says.
            if entry.stored == unpacked or (entry.stored and entry.data_offset % LIBRARY_ALIGNMENT):
                kind = "stored" if unpacked else "compressed or not aligned to 16 KB"
                raise ToolError(f"checking the app: {entry.name} is {kind}")
            alignment = load_alignment(archive.read(entry.name), entry.name, entry.name.split("/")[1])
            if alignment < LIBRARY_ALIGNMENT:
                notes.append(
                    f"{entry.name} is linked for pages of {alignment // 1024} KB: it does not load on "
                    "devices with pages of 16 KB"
                )
    for abi in abis:
        if not any(entry.name.startswith(f"lib/{abi}/") for entry in libraries):
            raise ToolError(f"checking the app: it has no native library for {abi}")
    return notes


def load_alignment(elf: bytes, name: str, abi: str) -> int:
    """The smallest alignment of the loadable segments of a library for an ABI, bytes.

    Raises:
        ToolError: It is no 64-bit library for this ABI.
    """
    if elf[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<H", elf, 18)[0] != ABIS.get(abi):
        raise ToolError(f"checking the app: {name} is no 64-bit library for {abi}")
    table = struct.unpack_from("<Q", elf, 32)[0]
    entry_bytes, count = struct.unpack_from("<2H", elf, 54)
    alignments = []
    for index in range(count):
        start = table + index * entry_bytes
        if struct.unpack_from("<I", elf, start)[0] == PT_LOAD:
            alignments.append(int(struct.unpack_from("<Q", elf, start + 48)[0]))
    if not alignments:
        raise ToolError(f"checking the app: {name} has nothing to load")
    return min(alignments)
