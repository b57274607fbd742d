"""Official files of several models into the cache at once: weights, and inference models to import."""

from __future__ import annotations

import enum
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import msgspec

from edgekit._files import locked, sha256_file, write_atomic
from edgekit.core.spec import ModelSpec
from edgekit.errors import EdgekitError, InputError, ToolError
from edgekit.toolchain.cache import cache_directory
from edgekit.toolchain.download import download
from edgekit.zoo.pretrained import find_pretrained

SIMULTANEOUS = 4
MIRROR_VARIABLE = "EDGEKIT_MIRROR"


class What(enum.Enum):
    """Which of a model's official files."""

    WEIGHTS = "weights"
    INFERENCE = "inference"


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """One file, or why it could not be had."""

    model: str
    what: What
    path: Path | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    error: EdgekitError | None = None


ShowProgress = Callable[[str, int, "int | None"], None]
"""Called from several threads with a file's label, the bytes received and the size where it is known."""


@contextmanager
def mirror(address: str | None) -> Iterator[None]:
    """Read everything from an address or a directory instead of the publisher, as `$EDGEKIT_MIRROR` does."""
    before = os.environ.get(MIRROR_VARIABLE)
    if address is not None:
        os.environ[MIRROR_VARIABLE] = address
    try:
        yield
    finally:
        if address is not None:
            os.environ.pop(MIRROR_VARIABLE)
            if before is not None:
                os.environ[MIRROR_VARIABLE] = before


def fetch(specs: Sequence[ModelSpec], what: Sequence[What], *, show: ShowProgress) -> list[Fetched]:
    """Fetch files, several at once; one that fails does not keep the others from it.

    Args:
        specs: The models.
        what: Which files of each.
        show: Told how far each is.

    Returns:
        One result a model and kind, in order.
    """
    jobs = [(spec, kind) for spec in specs for kind in what]
    with ThreadPoolExecutor(max_workers=SIMULTANEOUS) as pool:
        return list(pool.map(lambda job: _fetch_one(job[0], job[1], show), jobs))


def _fetch_one(spec: ModelSpec, what: What, show: ShowProgress) -> Fetched:
    label = f"{spec.name} {what.value}"

    def progress(received: int, total: int | None) -> None:
        show(label, received, total)

    try:
        if what is What.WEIGHTS:
            path, digest = find_pretrained(spec, progress=progress)
        else:
            path, digest = find_inference_model(spec, progress=progress)
        return Fetched(model=spec.name, what=what, path=path, sha256=digest, size_bytes=path.stat().st_size)
    except EdgekitError as error:
        return Fetched(model=spec.name, what=what, error=error)


def find_inference_model(
    spec: ModelSpec, *, progress: Callable[[int, int | None], None] | None = None
) -> tuple[Path, str]:
    """The official `NAME_infer.tar`, fetched where it is not here yet; `edgekit import` takes it.

    Its hash is remembered beside it at first use and checked ever after: no checksums are published.

    Returns:
        Its path and SHA-256, checked just now.

    Raises:
        InputError: The card names none.
        ToolError: It cannot be reached; the hint says where to put the file by hand.
    """
    url = spec.weights.inference_url
    if url is None:
        raise InputError(
            f"finding the inference model of {spec.name}: its card names none",
            hint=f"edgekit export {spec.name} makes one",
        )
    path = cache_directory("weights") / PurePosixPath(url).name
    record = path.with_name(f"{path.name}.sha256")
    with locked(path.with_name(f".{path.name}.lock"), f"the inference model {path.name}"):
        known = _read_record(record)
        if path.is_file():
            digest = sha256_file(path)
            if known == digest or (known is None and _is_model_archive(path)):
                write_atomic(record, f"{digest}  {path.name}\n")
                return path, digest
        digest = _download(spec, url, path, known, progress)
        write_atomic(record, f"{digest}  {path.name}\n")
        return path, digest


def _read_record(record: Path) -> str | None:
    try:
        words = record.read_text().split()
    except (OSError, UnicodeDecodeError):
        return None
    return words[0] if words and len(words[0]) == 64 else None


def _download(
    spec: ModelSpec,
    url: str,
    path: Path,
    known: str | None,
    progress: Callable[[int, int | None], None] | None,
) -> str:
    fresh = path.with_name(f".{path.name}.new")
    by_hand = f"put the file there by hand: {path}"
    try:
        digest = download(url, fresh, progress=progress)
        if known is not None and digest != known:
            raise ToolError(
                f"downloading {url}: its SHA-256 is {digest}, but {known} was seen at first use",
                hint=f"if the publisher changed the file, accept it: rm {path}*",
            )
        if not _is_model_archive(fresh):
            raise ToolError(f"downloading {url}: what came is no archive of a Paddle model", hint=by_hand)
        fresh.replace(path)
        return digest
    except ToolError as error:
        hint = error.hint if error.hint is not None and error.hint.startswith("if the publisher") else by_hand
        raise ToolError(f"getting the inference model of {spec.name}: {error.message}", hint=hint) from error
    finally:
        fresh.unlink(missing_ok=True)


def _is_model_archive(path: Path) -> bool:
    """Whether it is a tar, readable to its end, with a program and its parameters."""
    try:
        with tarfile.open(path) as archive:
            names = [member.name for member in archive if member.isfile()]
    except (tarfile.TarError, OSError, EOFError):
        return False
    return any(name.endswith((".pdmodel", ".json")) for name in names) and any(
        name.endswith(".pdiparams") for name in names
    )
