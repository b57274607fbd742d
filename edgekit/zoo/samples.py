"""Twenty labelled pictures of ImageNet, out of a package of the registry: real answers without a data set."""

from __future__ import annotations

import hashlib
import logging
import re
import sys
from pathlib import Path

import msgspec

from edgekit._archives import ArchiveError, open_zip
from edgekit._files import locked, new_directory, output_error, scratch_directory
from edgekit.errors import ToolError
from edgekit.toolchain.cache import cache_directory
from edgekit.toolchain.fetch.wheels import download_wheel

logger = logging.getLogger("edgekit")

PACKAGE, VERSION = "foolbox", "3.3.4"
WHEEL_SHA256 = "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb"
# `imagenet_NUMBER_CLASS.jpg`, 512x512 pixels; the class is ImageNet's, 0 to 999.
_MEMBER = re.compile(r"foolbox/data/(imagenet_\d+_(\d+)\.jpg)")
# Hash of the pictures and the list, by name.
SHA256 = "1ab2c3ed5c530419fe17666f5f9ada6c0760169d23700d7ab4653b9309eb0669"
LIST_NAME = "list.txt"


class Samples(msgspec.Struct, frozen=True, kw_only=True):
    """The fetched pictures.

    Attributes:
        directory: Directory of the pictures.
        list_path: Their classes, `path label` a line, as `eval` takes them.
        sha256: Hash of all files, one after the other by name.
    """

    directory: Path
    list_path: Path
    sha256: str
    size_bytes: int


def fetch_samples() -> Samples:
    """Return the pictures in the cache, fetched where they are missing or damaged.

    Raises:
        ToolError: The registry does not answer, or serves another file.
        OutputError: The cache cannot be written.
    """
    directory = cache_directory("pictures") / "imagenet"
    with locked(directory.with_name(".imagenet.lock"), "the pictures of ImageNet"):
        if _sha256(directory) != SHA256:
            if directory.exists():
                logger.warning("%s is damaged or was changed; fetching it again", directory)
            else:
                logger.info("fetching pictures of ImageNet: %s from the package registry", PACKAGE)
            _fetch(directory)
    return Samples(
        directory=directory,
        list_path=directory / LIST_NAME,
        sha256=SHA256,
        size_bytes=sum(path.stat().st_size for path in directory.glob("imagenet_*.jpg")),
    )


def _fetch(directory: Path) -> None:
    hint = f"copy {directory} from a machine where `edgekit fetch samples` has run"
    with scratch_directory("pictures") as scratch:
        python = f"{sys.version_info[0]}.{sys.version_info[1]}"
        wheel = download_wheel(
            PACKAGE, VERSION, python=python, platforms=("any",), into=scratch, sha256=WHEEL_SHA256, hint=hint
        )
        try:
            with new_directory(directory) as new:
                _unpack(wheel, new)
                if _sha256(new) != SHA256:
                    raise ToolError(f"unpacking {wheel.name}: it has other pictures", hint=hint)
        except ArchiveError as error:
            raise ToolError(f"unpacking {wheel.name}: {error}", hint=hint) from error
        except OSError as error:
            raise output_error(directory, error) from error


def _unpack(wheel: Path, into: Path) -> None:
    lines = []
    with open_zip(wheel) as archive:
        for name in sorted(archive.names):
            if found := _MEMBER.fullmatch(name):
                archive.write_to(name, into / found[1])
                lines.append(f"{found[1]} {found[2]}\n")
    (into / LIST_NAME).write_text("".join(lines))


def _sha256(directory: Path) -> str | None:
    """Return the hash of the pictures and their list, None where one of them cannot be read."""
    digest = hashlib.sha256()
    try:
        for path in (*sorted(directory.glob("imagenet_*.jpg")), directory / LIST_NAME):
            digest.update(path.read_bytes())
    except OSError:
        return None
    return digest.hexdigest()
