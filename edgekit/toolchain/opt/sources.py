"""Sources of opt when no interpreter of this machine suits: an archive, uv, the release, Debian 11."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from edgekit import _process
from edgekit._files import atomic_file, open_plain_file
from edgekit.errors import InputError, ToolError
from edgekit.toolchain.cache import cache_directory
from edgekit.toolchain.component import InstallRequest
from edgekit.toolchain.fetch.apt import fetch_packages
from edgekit.toolchain.fetch.pinned import fetch_pinned
from edgekit.toolchain.opt.environments import make_environment
from edgekit.toolchain.opt.interpreters import Interpreter, find_interpreters, query
from edgekit.toolchain.opt.opt import (
    Opt,
    Release,
    binary_path,
    environment_directory,
    from_directory,
    read_version,
)

REACH_TIMEOUT_S = 10.0
UV_TIMEOUT_S = 300.0
BINARY_VERSION = "2.12"
BINARY_URL = "https://github.com/PaddlePaddle/Paddle-Lite/releases/download/v2.12/opt_linux"
DEBIAN_SUITE = "bullseye"
DEBIAN_PACKAGES = ("libpython3.9-minimal", "libpython3.9-stdlib", "python3.9-minimal", "libexpat1", "libffi7")
DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
ELF_MAGIC = b"\x7fELF"

Attempt = Callable[[Sequence[Release], InstallRequest], Opt]


def install_archive(archive: Path, request: InstallRequest) -> Opt:
    """Install a paddlelite wheel or the release's standalone binary from a local file.

    Raises:
        InputError: The file is neither.
        ToolError: No interpreter suits the wheel, or the program does not run.
    """
    try:
        with open_plain_file(archive, "the archive") as file:
            magic = file.read(4)
    except OSError as error:
        raise InputError(f"reading {archive}: {error.strerror or error}") from error
    wheel = re.fullmatch(r"paddlelite-([^-]+)-cp(\d)(\d+)-.*\.whl", archive.name)
    if wheel and magic.startswith(b"PK"):
        version, tag = wheel.group(1), f"cp{wheel.group(2)}{wheel.group(3)}"
        for interpreter in find_interpreters():
            if interpreter.tag == tag and interpreter.has_venv:
                return install_in_environment(version, interpreter, request, wheel=archive)
        raise ToolError(
            f"installing {archive.name}: no Python {wheel.group(2)}.{wheel.group(3)} here",
            hint=f"pyenv install {wheel.group(2)}.{wheel.group(3)}",
        )
    if magic == ELF_MAGIC:
        return _keep_binary(archive, request.version)
    raise InputError(
        f"installing opt from {archive}: neither a paddlelite wheel nor a Linux program",
        hint=f"a wheel keeps its name, paddlelite-VERSION-cpXY-….whl; the binary is {BINARY_URL}",
    )


def _keep_binary(path: Path, version: str | None) -> Opt:
    """Move a standalone opt into the cache once it has answered."""
    staged = cache_directory("opt") / "binary-unchecked"
    with atomic_file(staged) as temporary:
        shutil.copyfile(path, temporary)
    staged.chmod(0o755)
    try:
        told = read_version((str(staged),))
        if told is None:
            raise ToolError(
                f"installing opt from {path}: it does not tell its version, as an opt does",
                hint=f"the release's binary is {BINARY_URL}; a build of your own: EDGEKIT_OPT={path}",
            )
        if version not in (None, told):
            raise ToolError(
                f"installing opt {version} from {path}: it says that it is {told}",
                hint=f"edgekit toolchain install opt --archive {path}",
            )
        place = binary_path(told)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(staged, place)
    finally:
        staged.unlink(missing_ok=True)
    return Opt(version=told, argv=(str(place),), python=None, source="binary")


def suitable(interpreters: list[Interpreter], release: Release) -> list[Interpreter]:
    """Return interpreters that a release has a wheel for, in the release's order of preference."""
    return sorted(
        (
            each
            for each in interpreters
            if each.minor_version in release.pythons
            and each.implementation == "CPython"
            and each.bits == 64
            and each.has_venv
        ),
        key=lambda each: (release.pythons.index(each.minor_version), not each.has_pip),
    )


def install_in_environment(
    version: str, interpreter: Interpreter, request: InstallRequest, wheel: Path | None = None
) -> Opt:
    """Make the isolated environment of a version and check that its opt answers."""
    directory = environment_directory(version, interpreter.tag)
    package = f"paddlelite=={version}" if wheel is None else str(wheel.resolve())
    # paddlelite needs numpy but does not declare it.
    environment = make_environment(
        directory, interpreter, (package, "numpy"), progress=request.progress, force=request.force
    )
    found = from_directory(directory, version, environment)
    _probe(found)
    return found


def _probe(found: Opt) -> None:
    """Ask a new opt for its version, which loads it for the first time on this machine."""
    if read_version(found.argv) is None:
        raise ToolError(
            f"installing opt {found.version}: {' '.join(found.argv)} --version does not answer",
            hint="edgekit --verbose toolchain install opt --force, or another --version",
        )


def from_uv(releases: Sequence[Release], request: InstallRequest) -> Opt:
    """Let uv install an interpreter, where uv is present and can reach its downloads."""
    minors = [minor for release in releases for minor in release.pythons if minor >= (3, 8)]
    if shutil.which("uv") is None or not minors:
        raise ToolError("uv: not on PATH" if minors else "uv: no Python older than 3.8 to be had")
    minor = f"{minors[0][0]}.{minors[0][1]}"
    request.progress(f"asking uv for Python {minor}")
    done = _process.run(
        ["uv", "python", "install", "--no-bin", minor],
        timeout_s=UV_TIMEOUT_S,
        env={"UV_HTTP_TIMEOUT": f"{REACH_TIMEOUT_S:g}"},
    )
    if not done.ok:
        raise ToolError(f"uv python install {minor}: {done.tail(1)}")
    interpreters = find_interpreters()
    for release in releases:
        for interpreter in suitable(interpreters, release):
            return install_in_environment(release.version, interpreter, request)
    raise ToolError(f"uv python install {minor}: it ended well, but there is no such interpreter")


def from_release(releases: Sequence[Release], request: InstallRequest) -> Opt:
    """Download the release's standalone binary."""
    if BINARY_VERSION not in [release.version for release in releases]:
        raise ToolError(f"release binary: only of {BINARY_VERSION}")
    fetched = cache_directory("opt") / f"opt_linux-{BINARY_VERSION}"
    request.progress(f"downloading {BINARY_URL}")
    fetch_pinned(
        BINARY_URL,
        fetched,
        what=f"opt {BINARY_VERSION}",
        check=_check_program,
        accept="edgekit toolchain install opt --trust-new",
        trust_new=request.trust_new,
        timeout_s=REACH_TIMEOUT_S,
    )
    try:
        return _keep_binary(fetched, BINARY_VERSION)
    finally:
        fetched.unlink(missing_ok=True)


def _check_program(path: Path) -> None:
    """Raise InputError unless a file is a Linux program."""
    with open_plain_file(path, "the program") as file:
        if file.read(len(ELF_MAGIC)) != ELF_MAGIC:
            raise InputError(f"{path.name} is no Linux program")


def from_debian(releases: Sequence[Release], request: InstallRequest) -> Opt:
    """Unpack Debian 11's Python 3.9 beside the environments and use it."""
    release = next((each for each in releases if (3, 9) in each.pythons), None)
    if release is None:
        raise ToolError("Debian 11's Python 3.9: has no wheel of that version")
    root = cache_directory("opt") / "debian-python3.9"
    interpreter = debian_python(
        "Debian 11's Python 3.9", root, DEBIAN_PACKAGES, DEBIAN_SUITE, "python3.9", request
    )
    return install_in_environment(release.version, interpreter, request)


def debian_python(
    name: str, root: Path, packages: Sequence[str], suite: str, program: str, request: InstallRequest
) -> Interpreter:
    """Unpack packages of a Debian suite into `root` and return the interpreter among them.

    Raises:
        ToolError: The packages cannot be had, or `program` does not start; `name` says whose it is.
    """
    fetch_packages(
        packages,
        architecture="amd64",
        into=root,
        sources=debian_sources(suite),
        progress=request.progress,
    )
    interpreter = query(root / "usr" / "bin" / program)
    if interpreter is None:
        raise ToolError(f"{name}: {root}/usr/bin/{program} does not start")
    return interpreter


def debian_sources(suite: str) -> str:
    """Return a suite of Debian on the mirrors that this machine's own apt uses for Debian.

    Raises:
        ToolError: It uses none.
    """
    mirrors = _debian_mirrors()
    if not mirrors or not DEBIAN_KEYRING.exists():
        raise ToolError(f"Debian's {suite}: this machine's apt has no Debian mirror with its keys")
    return (
        f"Types: deb\nURIs: {' '.join(mirrors)}\nSuites: {suite}\nComponents: main\n"
        f"Signed-By: {DEBIAN_KEYRING}\n"
    )


def _debian_mirrors(etc: Path = Path("/etc/apt")) -> list[str]:
    text = ""
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        if path.suffix in (".list", ".sources"):
            try:
                text += path.read_text() + "\n"
            except OSError:
                continue
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    uris = [
        word for line in lines if re.match(r"(deb|URIs:)\s", line) for word in line.split() if "://" in word
    ]
    return list(dict.fromkeys(uri for uri in uris if re.search(r"/debian/?$", uri)))


ATTEMPTS: tuple[Attempt, ...] = (from_uv, from_release, from_debian)
"""Sources to try in order after the machine's own interpreters."""
