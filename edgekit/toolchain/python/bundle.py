"""Bundle for a device without a native runner: the host's worker in a CPython that travels with it.

On the device it is three directories: CPython with numpy, which all such engines share; the engine's wheel;
and the worker with the engine's file. Therefore an update of edgekit sends a few kilobytes again.
"""

from __future__ import annotations

import ast
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from edgekit._files import sha256_file
from edgekit.engines.registry import WORKER, engine
from edgekit.errors import ToolError
from edgekit.toolchain.build.bundle import ABIS, check_target
from edgekit.toolchain.build.c_libraries import loader_name
from edgekit.toolchain.build.runtimes import AARCH64
from edgekit.toolchain.component import InstallRequest, Report
from edgekit.toolchain.python import start
from edgekit.toolchain.python.cpython import LIBRARY, NAME, PROGRAM, SITE, install_device_python
from edgekit.toolchain.python.parts import Part, find_part, identity, store_part, write_archive
from edgekit.toolchain.python.unpack import UNPACKED
from edgekit.toolchain.python.wheels import require_wheel

OWN_ENGINES = WORKER.parent
START = "start.py"
# $1 is the directory with CPython, the rest are the directories to unpack. CPython runs from its archive.
_UNPACK = f"""base=$1
for d; do
  [ -d "$d/{UNPACKED}" ] || exec "$base/{loader_name(AARCH64)}" --library-path "$base" "$base/{PROGRAM}" \
-S -s -B "$base/unpack.py" "$@"
done
"""


class PythonBundle(msgspec.Struct, frozen=True, kw_only=True):
    """CPython, an engine's wheel and the worker.

    Attributes:
        engine: Name of the engine.
        engine_version: Version of the wheel.
        fp16: True: the worker's engines say themselves what they cannot compute.
        opencl: False: no engine of the worker computes by OpenCL.
        python: Part with CPython and numpy.
        wheel: Part with the engine's wheel.
        worker: Part with the worker and the engine's file.
    """

    engine: str
    engine_version: str
    fp16: bool = True
    opencl: bool = False
    python: Part
    wheel: Part
    worker: Part

    @property
    def abi(self) -> str:
        """ABI that a device must run."""
        return ABIS[AARCH64]

    @property
    def features(self) -> tuple[str, ...]:
        """Features, as the kernel names them, that the bundle's code needs of every core."""
        return self.wheel.features

    @property
    def files(self) -> dict[str, Path]:
        """Name in the bundle's own directory -> file on this machine."""
        return self.worker.files

    @property
    def parts(self) -> tuple[Part, ...]:
        """Directories that the bundle shares with others."""
        return self.python, self.wheel

    def argv(self, remote_dir: str) -> list[str]:
        """Return the worker's command line for a bundle in `remote_dir`, with the parts beside it."""
        python, wheel = (self._beside(remote_dir, part) for part in self.parts)
        worker = f"{remote_dir}/{UNPACKED}/edgekit/engines"
        return [
            *(
                f"{python}/{loader_name(AARCH64)}",
                "--library-path",
                python,
                f"{python}/{PROGRAM}",
                "-I",
                "-S",
            ),
            *(f"{remote_dir}/{START}", f"{python}/{UNPACKED}/{SITE}:{wheel}/{UNPACKED}"),
            *(f"{worker}/{WORKER.name}", f"{worker}/{Path(engine(self.engine).file).name}"),
        ]

    def unpacking(self, remote_dir: str) -> tuple[list[str], dict[str, str]]:
        """Return command line and environment that unpack archives which are not unpacked yet."""
        python, wheel = (self._beside(remote_dir, part) for part in self.parts)
        inside = f"{python}/lib.zip/{LIBRARY}"
        argv = ["sh", "-c", _UNPACK, "sh", python, wheel, remote_dir]
        return argv, {**self.env(remote_dir), "PYTHONHOME": python, "PYTHONPATH": inside}

    @staticmethod
    def _beside(remote_dir: str, part: Part) -> str:
        return f"{remote_dir.rpartition('/')[0]}/{part.directory}"

    def env(self, remote_dir: str) -> Mapping[str, str]:
        """Environment variables of the worker; they keep the device's own libraries out."""
        return {"LD_PRELOAD": "", "LD_LIBRARY_PATH": ""}

    def counting_env(self, remote_dir: str) -> Mapping[str, str]:
        """Environment variables for counting instructions: waiting threads sleep instead of polling."""
        return {**self.env(remote_dir), "OMP_WAIT_POLICY": "passive"}


def assemble_python(name: str, target: str, *, install: bool = True, progress: Report) -> PythonBundle:
    """Install missing parts and assemble the bundle.

    Args:
        name: Engine with a wheel for devices.
        target: `aarch64`.
        install: True to download missing parts.
        progress: Called with a line for the user about each step.

    Raises:
        ToolError: A part cannot be obtained; the hint lists the remedies.
        UnsupportedError: The engine does not run on devices of that target.
    """
    check_target(name, target)
    request = InstallRequest(progress=progress)
    python = find_part(NAME)
    if python is None and not install:
        raise ToolError(
            f"assembling the {name} bundle: CPython for devices is not installed",
            hint=f"edgekit toolchain install {NAME}",
        )
    wheel = require_wheel(name, request, install=install)
    return PythonBundle(
        engine=name,
        engine_version=wheel.version,
        python=python or install_device_python(request),
        wheel=wheel,
        worker=_worker(name),
    )


def has_python(name: str) -> bool:
    """Return True where an engine's wheel and CPython for devices are installed here."""
    return all(find_part(each) is not None for each in (NAME, f"{name}-wheel"))


def _worker(name: str) -> Part:
    """Return the part with the worker and an engine's file, made on first use of these sources."""
    sources = {f"{WORKER.name}/{path.name}": path for path in WORKER.glob("*.py")}
    sources |= {path.name: path for path in engine_files(Path(engine(name).file))}
    files = {f"edgekit/engines/{inside}": path for inside, path in sources.items()}
    starter = Path(str(start.__file__))
    content = {inside: sha256_file(path) for inside, path in {**files, START: starter}.items()}
    place = f"{name}-worker-{identity(content)}"

    def fill(new: Path) -> Part:
        shutil.copyfile(starter, new / START)
        size = write_archive(new, files)
        return Part(name=name, version="", unpacked_bytes=size)

    return find_part(place) or store_part(place, fill)


def engine_files(file: Path) -> list[Path]:
    """Return an engine's file, and those of edgekit's own engines that it imports, directly or not."""
    files = [OWN_ENGINES / "__init__.py", file]
    for each in files:
        for node in ast.walk(ast.parse(each.read_bytes())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for module in names:
                package, _, stem = module.rpartition(".")
                path = OWN_ENGINES / f"{stem}.py"
                if package == "edgekit.engines" and path.is_file() and path not in files:
                    files.append(path)
    return files
