"""Debian packages without root: apt's own client with a private state directory; unpacked, not installed.

The machine's own package sources and keys are used; its package database is otherwise neither read nor
changed.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit import _process
from edgekit._files import locked, new_directory, output_error, write_atomic
from edgekit.errors import ToolError
from edgekit.toolchain.cache import cache_directory
from edgekit.toolchain.component import Report

MARKER = ".edgekit-packages.json"
SOURCES = "sources.d"
LISTS_FRESH_S = 24 * 3600
UPDATE_TIMEOUT_S = 300.0
DOWNLOAD_TIMEOUT_S = 900.0
UNPACK_TIMEOUT_S = 120.0


class UnpackedPackages(msgspec.Struct, frozen=True, kw_only=True):
    """Marker of a directory of unpacked packages: the request and the versions."""

    names: tuple[str, ...]
    architecture: str
    dependencies: bool
    only: tuple[str, ...]
    versions: dict[str, str]
    sources: str | None = None

    def answers(self, request: UnpackedPackages) -> bool:
        """Return True where a directory with this marker satisfies the request."""
        return msgspec.structs.replace(request, versions=self.versions) == self


def fetch_packages(
    names: Sequence[str],
    *,
    architecture: str,
    into: Path,
    dependencies: bool = False,
    only: Sequence[str] = (),
    sources: str | None = None,
    progress: Report | None = None,
) -> dict[str, str]:
    """Download Debian packages and unpack them into a directory of their own.

    `into` is made completely or not at all, and reused where it already contains these packages;
    a directory with other packages is replaced.

    Args:
        names: Package names without architecture.
        architecture: Debian's name of the architecture, `arm64` or `amd64`.
        into: Directory that becomes the packages' root (`into/usr/bin/…`).
        dependencies: True to include all dependencies, as on a machine with nothing installed.
        only: Glob patterns below `into` (`usr/bin/qemu-aarch64*`) of files to keep; empty for all files.
        sources: Text of a `.sources` file that replaces the machine's package sources.
        progress: Called with a line for the user about each step.

    Returns:
        Package name to version, for all unpacked packages.

    Raises:
        ToolError: apt is missing, the package sources do not answer, or they lack the package.
        OutputError: The cache cannot be written.
    """
    request = UnpackedPackages(
        names=tuple(sorted(set(names))),
        architecture=architecture,
        dependencies=dependencies,
        only=tuple(only),
        sources=sources,
        versions={},
    )
    present = read_marker(into)
    if present is not None and present.answers(request):
        return present.versions
    _require_apt(request)
    with locked(into.parent / f"{into.name}.lock", f"the packages in {into}"):
        present = read_marker(into)
        if present is not None and present.answers(request):
            return present.versions
        return _fetch(request, into, progress or (lambda _line: None))


def read_marker(into: Path) -> UnpackedPackages | None:
    """Return the marker of a directory; None where the directory is not a complete one of edgekit."""
    try:
        return msgspec.json.decode((into / MARKER).read_bytes(), type=UnpackedPackages)
    except (OSError, msgspec.DecodeError, ValueError):
        return None


def _require_apt(request: UnpackedPackages) -> None:
    names = " ".join(request.names)
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise ToolError(
                f"fetching {names} ({request.architecture}): no {tool} on this machine "
                "(Debian and Ubuntu have it)",
                hint=f"install with your system's package manager what corresponds to: {names}",
            )


def _fetch(request: UnpackedPackages, into: Path, progress: Report) -> dict[str, str]:
    architecture = request.architecture
    state = _private_state(architecture, request.sources)
    try:
        with new_directory(into) as root:
            with locked(state / "edgekit.lock", f"apt's lists for {architecture}"):
                _update(state, architecture, progress)
                progress(f"fetching {', '.join(request.names)} ({architecture}) with apt")
                packages = _download(request, state, root.parent)
            versions = _unpack(packages, root, request.only)
            whole = msgspec.structs.replace(request, versions=versions)
            write_atomic(root / MARKER, msgspec.json.encode(whole))
        return versions
    except OSError as error:
        raise output_error(into, error) from error


def _private_state(architecture: str, sources: str | None) -> Path:
    """Return apt's private state directory for an architecture; other sources have separate states."""
    suffix = "" if sources is None else f"-{hashlib.sha256(sources.encode()).hexdigest()[:12]}"
    state = cache_directory("apt") / f"state-{architecture}{suffix}"
    if sources is not None:
        write_atomic(state / SOURCES / "edgekit.sources", sources)
    try:
        for part in ("state/lists/partial", "cache/archives/partial"):
            (state / part).mkdir(parents=True, exist_ok=True)
        (state / "status").touch()
    except OSError as error:
        raise output_error(state, error) from error
    return state


def _options(state: Path, architecture: str) -> list[str]:
    settings = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "Dir::State": f"{state}/state",
        "Dir::State::status": f"{state}/status",
        "Dir::Cache": f"{state}/cache",
        # As root, apt would switch to a user that cannot write here.
        "APT::Sandbox::User": "",
        "APT::Get::Assume-Yes": "true",
        "APT::Install-Recommends": "false",
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
        "Acquire::http::Timeout": "30",
        "Acquire::https::Timeout": "30",
        "Dpkg::Use-Pty": "0",
    }
    if (state / SOURCES).is_dir():
        settings |= {"Dir::Etc::SourceList": "/dev/null", "Dir::Etc::SourceParts": f"{state}/{SOURCES}"}
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _update(state: Path, architecture: str, progress: Report) -> None:
    """Fetch the package lists unless they are less than a day old and of the same sources."""
    stamp = state / "updated"
    sources = _sources_digest()
    try:
        if stamp.read_text() == sources and time.time() - stamp.stat().st_mtime < LISTS_FRESH_S:
            return
    except OSError:
        pass
    progress(f"fetching the package lists for {architecture} with apt")
    done = _apt(["update"], state, architecture, timeout_s=UPDATE_TIMEOUT_S)
    if not done.ok:
        raise ToolError(
            f"fetching the package lists for {architecture}: apt-get update ended with "
            f"{_process.describe_exit(done.exit_code)}:\n{done.tail(4)}",
            hint="check that `apt-get update` works here and that the sources have this architecture",
        )
    # apt succeeds although lists were missing; in this case the next call fetches them again.
    if not done.stderr.strip():
        write_atomic(stamp, sources)


def _sources_digest() -> str:
    digest = hashlib.sha256()
    for path in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]:
        try:
            digest.update(path.read_bytes())
        except OSError:
            continue
    return digest.hexdigest()


def _apt(
    words: Sequence[str], state: Path, architecture: str, *, timeout_s: float, cwd: Path | None = None
) -> _process.Completed:
    return _process.run(
        ["apt-get", "-q", *_options(state, architecture), *words],
        timeout_s=timeout_s,
        cwd=cwd,
        env={"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
    )


def _download(request: UnpackedPackages, state: Path, work: Path) -> list[Path]:
    names, architecture = request.names, request.architecture
    archives = work / "archives"
    (archives / "partial").mkdir(parents=True)
    if request.dependencies:
        words = ["install", "--download-only", "-o", f"Dir::Cache::archives={archives}/", *names]
    else:
        words = ["download", *names]
    done = _apt(words, state, architecture, timeout_s=DOWNLOAD_TIMEOUT_S, cwd=archives)
    packages = sorted(archives.glob("*.deb"))
    if not done.ok or not packages:
        (state / "updated").unlink(missing_ok=True)
        raise ToolError(
            f"fetching {', '.join(names)} ({architecture}): apt-get ended with "
            f"{_process.describe_exit(done.exit_code)}:\n{done.tail(4)}",
            hint=f"check that apt's sources on this machine have {architecture} and that they answer",
        )
    return packages


def _unpack(packages: list[Path], root: Path, only: Sequence[str]) -> dict[str, str]:
    versions = {}
    for package in packages:
        fields = _dpkg_deb(["--show", "--showformat=${Package} ${Version}", str(package)])
        name, _, version = fields.strip().partition(" ")
        _dpkg_deb(["--extract", str(package), str(root)])
        versions[name] = version
    if only:
        _keep(root, only)
    return versions


def _keep(root: Path, patterns: Sequence[str]) -> None:
    kept = {path for pattern in patterns for path in root.glob(pattern)}
    if not kept:
        raise ToolError(
            f"unpacking packages: nothing in them matches {', '.join(patterns)}", hint="edgekit doctor"
        )
    for path in root.rglob("*"):
        if path not in kept and (path.is_symlink() or not path.is_dir()):
            path.unlink()


def _dpkg_deb(words: list[str]) -> str:
    done = _process.run(["dpkg-deb", *words], timeout_s=UNPACK_TIMEOUT_S, env={"LC_ALL": "C"})
    if not done.ok:
        raise ToolError(
            f"unpacking a package: dpkg-deb {words[0]} ended with {_process.describe_exit(done.exit_code)}: "
            f"{done.tail(2)}",
            hint="edgekit cache clean apt",
        )
    return done.stdout
