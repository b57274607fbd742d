"""Download official files of several models at once: weights, and inference models to import."""

from __future__ import annotations

import enum
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import msgspec

from edgekit._archives import ArchiveError, tar_files
from edgekit.core.spec import ModelSpec
from edgekit.errors import EdgekitError, InputError
from edgekit.toolchain.cache import cache_directory
from edgekit.toolchain.fetch.download import Progress
from edgekit.toolchain.fetch.pinned import fetch_pinned
from edgekit.zoo.pretrained import find_pretrained

SIMULTANEOUS = 4
MIRROR_VARIABLE = "EDGEKIT_MIRROR"


class What(enum.Enum):
    """Kind of official file of a model."""

    WEIGHTS = "weights"
    INFERENCE = "inference"
    PICTURES = "pictures"


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """A fetched file, or the reason why it could not be fetched."""

    model: str
    what: What
    path: Path | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    error: EdgekitError | None = None


ShowProgress = Callable[[str, int, "int | None"], None]
"""Called from several threads with a file's label, the number of bytes received, and the size where known."""


def usual(spec: ModelSpec) -> What:
    """Return the kind of file wanted by default: the weights, or the inference model where there are none."""
    weights = spec.weights
    bare = weights.pretrained_url is None and weights.package is None and weights.inference_url is not None
    return What.INFERENCE if bare else What.WEIGHTS


@contextmanager
def mirror(address: str | None) -> Iterator[None]:
    """Read all files from an address or a directory instead of the publisher, as `$EDGEKIT_MIRROR` does."""
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


def fetch(
    jobs: Sequence[tuple[ModelSpec, What]], *, trust_new: bool = False, show: ShowProgress | None = None
) -> list[Fetched]:
    """Fetch files, several at once; a failure does not stop the others.

    Ctrl-C stops all of them.

    Args:
        jobs: Models, with the kind of file of each.
        trust_new: Take files with other hashes than the first ones had.
        show: Called with the progress of each file, if given.

    Returns:
        One result a job, in order.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(max_workers=SIMULTANEOUS) as pool:
        try:
            return list(pool.map(lambda job: _fetch_one(job[0], job[1], trust_new, show, stop), jobs))
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch_one(
    spec: ModelSpec, what: What, trust_new: bool, show: ShowProgress | None, stop: threading.Event
) -> Fetched:
    label = f"{spec.name} {what.value}"

    def progress(received: int, total: int | None) -> None:
        if show is not None:
            show(label, received, total)

    find = find_pretrained if what is What.WEIGHTS else find_inference_model
    try:
        path, digest = find(spec, trust_new=trust_new, progress=progress, stop=stop)
        return Fetched(model=spec.name, what=what, path=path, sha256=digest, size_bytes=path.stat().st_size)
    except EdgekitError as error:
        return Fetched(model=spec.name, what=what, error=error)


def find_inference_model(
    spec: ModelSpec,
    *,
    trust_new: bool = False,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> tuple[Path, str]:
    """Return the official `NAME_infer.tar`, fetched where it is missing; `edgekit import` reads it.

    Returns:
        Path and SHA-256, which was just checked.

    Raises:
        InputError: The card names no inference model.
        ToolError: The file cannot be reached; the hint says where to put it by hand.
        OutputError: The cache cannot be written.
    """
    url = spec.weights.inference_url
    if url is None:
        raise InputError(
            f"finding the inference model of {spec.name}: its card names none",
            hint=f"edgekit export {spec.name} makes one",
        )
    path = cache_directory("weights") / PurePosixPath(url).name
    what = f"the inference model of {spec.name}"
    digest = fetch_pinned(
        url,
        path,
        what=what,
        check=_check_archive,
        accept=f"edgekit fetch {spec.name} --what inference --trust-new",
        trust_new=trust_new,
        progress=progress,
        stop=stop,
    )
    return path, digest


def _check_archive(path: Path) -> None:
    """Raise InputError unless a file is a tar, readable to its end, with a program and its parameters."""
    try:
        names = [str(file.path) for file in tar_files(path)]
    except ArchiveError as error:
        raise InputError(f"{path.name} is no archive of a Paddle model: {error}") from error
    has_program = any(name.endswith((".pdmodel", ".json")) for name in names)
    if not has_program or not any(name.endswith(".pdiparams") for name in names):
        held = ", ".join(names[:3]) or "nothing"
        raise InputError(f"{path.name} is no archive of a Paddle model: it holds {held}")
