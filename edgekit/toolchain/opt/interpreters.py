"""Python interpreters of this machine: on PATH, in pyenv, conda and uv."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from edgekit import _process
from edgekit.errors import ToolError

QUERY_TIMEOUT_S = 10.0
_NAME = re.compile(r"python(3(\.\d+)?)?$")
# Runs on Python 2.7 and later, so that an interpreter that is too old answers too and is then skipped.
_QUERY = (
    "import json,platform,struct,sys\n"
    "def has(name):\n"
    "    try:\n"
    "        __import__(name); return True\n"
    "    except ImportError: return False\n"
    "print(json.dumps({'version': list(sys.version_info[:3]), 'machine': platform.machine(),"
    " 'implementation': platform.python_implementation(), 'bits': struct.calcsize('P') * 8,"
    " 'has_venv': has('venv'), 'has_pip': has('ensurepip')}))"
)

Version = tuple[int, int]


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """A Python interpreter that answered.

    Attributes:
        path: Path of the executable.
        version: Major, minor, micro.
        source: Place of discovery: `PATH`, `pyenv`, `conda`, `uv` or `explicit`.
        has_venv: True where it can make virtual environments.
        has_pip: True where it can put pip into them (Debian's interpreters cannot, as delivered).
    """

    path: Path
    version: tuple[int, int, int]
    source: str
    machine: str
    implementation: str
    bits: int
    has_venv: bool
    has_pip: bool

    @property
    def minor_version(self) -> Version:
        return self.version[:2]

    @property
    def tag(self) -> str:
        """Tag of the interpreter in wheel names: `cp37`."""
        return f"cp{self.version[0]}{self.version[1]}"

    @property
    def version_text(self) -> str:
        return ".".join(map(str, self.version))


class _Answer(msgspec.Struct):
    version: tuple[int, int, int]
    machine: str
    implementation: str
    bits: int
    has_venv: bool
    has_pip: bool


def find_interpreters() -> list[Interpreter]:
    """Return every interpreter that answers, newest version first; each executable once.

    An interpreter that does not start, hangs or gives an invalid answer is left out.
    """
    candidates: dict[Path, str] = {}
    for path, source in _candidates():
        try:
            candidates.setdefault(path.resolve(strict=True), source)
        except OSError:
            continue
    with ThreadPoolExecutor(max_workers=4) as pool:
        answers = pool.map(lambda each: query(*each), candidates.items())
        found = [answer for answer in answers if answer is not None]
    return sorted(found, key=lambda each: each.version, reverse=True)


def query(path: Path, source: str = "explicit") -> Interpreter | None:
    """Ask an interpreter for its version and abilities; None where it does not answer."""
    try:
        done = _process.run([path, "-I", "-c", _QUERY], timeout_s=QUERY_TIMEOUT_S)
        answer = msgspec.json.decode(done.stdout, type=_Answer) if done.ok else None
    except (ToolError, msgspec.DecodeError):
        return None
    if answer is None:
        return None
    return Interpreter(path=path, source=source, **msgspec.structs.asdict(answer))


def describe_places() -> str:
    """Return the places that `find_interpreters` searches, for messages."""
    return f"PATH, pyenv ({_pyenv_root()}), conda environments, uv ({_uv_root()})"


def _candidates() -> Iterator[tuple[Path, str]]:
    for path in _executables(sorted(_pyenv_root().glob("versions/*/bin"))):
        yield path, "pyenv"
    for path in _executables(sorted(_uv_root().glob("*/bin"))):
        yield path, "uv"
    for path in _executables(_conda_directories()):
        yield path, "conda"
    on_path = [Path(part) for part in os.environ.get("PATH", "").split(os.pathsep) if part]
    # pyenv's shims are scripts around interpreters that were found above.
    for path in _executables([part for part in on_path if part != _pyenv_root() / "shims"]):
        yield path, "PATH"


def _executables(directories: Sequence[Path]) -> Iterator[Path]:
    for directory in directories:
        try:
            names = sorted(entry.name for entry in directory.iterdir() if _NAME.match(entry.name))
        except OSError:
            continue
        for name in names:
            if os.access(directory / name, os.X_OK):
                yield directory / name


def _pyenv_root() -> Path:
    return Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")


def _uv_root() -> Path:
    explicit = os.environ.get("UV_PYTHON_INSTALL_DIR")
    if explicit:
        return Path(explicit)
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "uv" / "python"


def _conda_directories() -> list[Path]:
    """Return `bin` of every conda environment: from conda's own list, and from the usual places."""
    prefixes: list[Path] = []
    try:
        listed = (Path.home() / ".conda" / "environments.txt").read_text().splitlines()
        prefixes += [Path(line.strip()) for line in listed if line.strip()]
    except OSError:
        pass
    if os.environ.get("CONDA_PREFIX"):
        prefixes.append(Path(os.environ["CONDA_PREFIX"]))
    roots = [Path.home() / name for name in ("miniconda3", "anaconda3", "miniforge3", "mambaforge")]
    roots += [Path.home() / "micromamba", Path("/opt/conda")]
    conda = os.environ.get("CONDA_EXE") or shutil.which("conda")
    if conda:
        roots.append(Path(conda).resolve().parent.parent)
    for root in roots:
        prefixes += [root, *sorted(root.glob("envs/*"))]
    return [prefix / "bin" for prefix in dict.fromkeys(prefixes)]
