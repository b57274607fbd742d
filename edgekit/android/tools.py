"""The programs of the offline build: aapt2, zipalign and apksigner of Debian, D8, javac."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from edgekit import _process
from edgekit._files import sha256_file
from edgekit.android.dependencies import DebianTool, Dependencies, Report, fetch_maven
from edgekit.android.jdk import find_jdk
from edgekit.errors import ToolError
from edgekit.toolchain.cache import cache_directory
from edgekit.toolchain.fetch.apt import fetch_packages

TOOL_TIMEOUT_S = 600.0
# A short-lived Java program gains more from a quick start than from the best compiler; javac takes half.
QUICK_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


class BuildTools(msgspec.Struct, frozen=True, kw_only=True):
    """The programs that a build calls, found and checked.

    Attributes:
        jdk: Home of the JDK.
        native: The word list that starts a native tool, before the tool's own path.
        aapt2: Packs resources.
        zipalign: Checks alignment.
        apksigner: Class path of the signer.
        r8: D8's jar.
        android: android.jar.
        onnxruntime: ONNX Runtime's Java classes to compile against.
        versions: Name to version, for the report.
    """

    jdk: Path
    native: tuple[str, ...]
    aapt2: Path
    zipalign: Path
    apksigner: tuple[Path, ...]
    r8: Path
    android: Path
    onnxruntime: Path
    versions: dict[str, str]

    @property
    def jdk_version(self) -> str:
        """Which JDK it is, in the words of its own file; its path where it has none."""
        release = self.jdk / "release"
        return release.read_text() if release.is_file() else str(self.jdk)

    def run_native(self, tool: Path, arguments: Sequence[str | Path], doing: str) -> str:
        """Run aapt2 or zipalign; return its stdout."""
        return _checked([*self.native, tool, *arguments], doing)

    def run_java(
        self,
        class_path: Sequence[Path],
        main: str,
        arguments: Sequence[str | Path],
        doing: str,
        *,
        env: Mapping[str, str | None] | None = None,
    ) -> str:
        """Run a Java program; return its stdout."""
        joined = ":".join(str(path) for path in class_path)
        words = [self.jdk / "bin" / "java", *QUICK_START, "-cp", joined, main, *arguments]
        return _checked(words, doing, env=env)

    def run_javac(self, arguments: Sequence[str | Path], doing: str) -> str:
        """Run the compiler; return its stdout."""
        words = [self.jdk / "bin" / "javac", *(f"-J{flag}" for flag in QUICK_START), *arguments]
        return _checked(words, doing)


def _checked(words: Sequence[str | Path], doing: str, *, env: Mapping[str, str | None] | None = None) -> str:
    # These take seconds; one whose edgekit was killed must not write on beside the next.
    guard = shutil.which("setpriv")
    mortal = words if guard is None else [guard, "--pdeathsig", "KILL", "--", *words]
    done = _process.run(mortal, timeout_s=TOOL_TIMEOUT_S, env=env)
    if not done.ok:
        raise ToolError(
            f"{doing}: {_process.describe_exit(done.exit_code)}: {done.tail(12)}",
            hint="edgekit --verbose apk build … shows the commands",
        )
    return done.stdout


def find_build_tools(dependencies: Dependencies, progress: Report) -> BuildTools:
    """Find the JDK; fetch what else is needed and missing.

    Raises:
        ToolError: There is no JDK, or something cannot be fetched or has another hash.
    """
    jdk = find_jdk("building the app")
    maven = fetch_maven(dependencies.maven, progress)
    architecture = _debian_architecture()
    native = cache_directory("android") / f"debian-{architecture}"
    native.parent.mkdir(parents=True, exist_ok=True)
    versions = fetch_packages(
        ["aapt", "zipalign"], architecture=architecture, into=native, dependencies=True, progress=progress
    )
    signer = cache_directory("android") / "debian-apksigner"
    versions |= fetch_packages(
        ["apksigner", "libapksig-java"], architecture=architecture, into=signer, progress=progress
    )
    for tool in dependencies.debian:
        _hold_to_pin(tool, versions[tool.package], _first(tool.file, native, signer), progress)
    programs = native / "usr/lib/android-sdk/build-tools/debian"
    return BuildTools(
        jdk=jdk,
        native=_loader(native),
        aapt2=programs / "aapt2",
        zipalign=programs / "zipalign",
        apksigner=tuple(sorted((signer / "usr/share/java").glob("*.jar"))),
        r8=maven["r8"],
        android=maven["android-all"],
        onnxruntime=maven["onnxruntime"],
        versions={
            **{file.name: file.parts[2] for file in dependencies.maven},
            **{tool.package: versions[tool.package] for tool in dependencies.debian},
        },
    )


def _first(name: str, *roots: Path) -> Path:
    for root in roots:
        if (root / name).is_file():
            return root / name
    raise ToolError(
        f"building the app: the distribution's packages have no {name}",
        hint="edgekit cache clean android, then build again",
    )


def _hold_to_pin(tool: DebianTool, version: str, file: Path, progress: Report) -> None:
    if version != tool.version:
        progress(f"{tool.package} is {version} here; the build was tested with {tool.version}")
        return
    digest = sha256_file(file)
    if platform.machine() == "x86_64" and digest != tool.sha256:
        raise ToolError(
            f"building the app: {file} of {tool.package} {version} has SHA-256 {digest}, not {tool.sha256}",
            hint="edgekit cache clean android, then build again",
        )


def _debian_architecture() -> str:
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    machine = platform.machine()
    if machine not in names:
        raise ToolError(f"building the app: this host is {machine}; it takes x86-64 or ARM64")
    return names[machine]


def _loader(root: Path) -> tuple[str, ...]:
    """Words that start a program of an unpacked root with that root's own loader and libraries."""
    loaders = [*root.glob("lib*/ld-linux-*.so.*"), *root.glob("lib/*/ld-linux-*.so.*")]
    loaders += [*root.glob("usr/lib*/ld-linux-*.so.*"), *root.glob("usr/lib/*/ld-linux-*.so.*")]
    files = [path for path in loaders if path.resolve().is_relative_to(root.resolve())]
    if not files:
        raise ToolError(
            f"building the app: no program loader below {root}",
            hint="edgekit cache clean android, then build again",
        )
    places = {path.parent for path in root.rglob("*.so*") if path.is_file()}
    return (str(files[0]), "--library-path", ":".join(sorted(map(str, places))))
