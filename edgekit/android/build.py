"""Builds the APK without the Android SDK: javac, D8, aapt2, a ZIP writer, apksigner.

Equal sources, bundled models, tools and key give equal bytes.
"""

from __future__ import annotations

import enum
import re
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from edgekit import __version__
from edgekit._files import atomic_file, scratch_directory, sha256_file
from edgekit.android.archive import Entry, deflate, write_archive
from edgekit.android.check import ApkReport, check_apk
from edgekit.android.dependencies import Report, fetch_onnxruntime, load_dependencies
from edgekit.android.kept import kept
from edgekit.android.paddlelite import find_paddlelite
from edgekit.android.project import MAIN, open_project
from edgekit.android.signing import MIN_SDK, SigningKey, sign
from edgekit.android.sources import AppEngine, asset_files, bundled_models, java_sources, packaged_manifest
from edgekit.android.tools import BuildTools, find_build_tools
from edgekit.errors import InputError, ToolError, UnsupportedError

# Google Play refuses new apps and updates below this one.
TARGET_SDK = 36
DEFAULT_ABIS = ("arm64-v8a",)
STORED_SUFFIXES = (".onnx", ".nb", ".png", ".arsc")
D8 = "com.android.tools.r8.D8"
JAVAC_FLAGS = (
    "--release", "8", "-encoding", "UTF-8", "-proc:none", "-g:source,lines",
    "-Xlint:all,-options,-processing,-serial,-classfile,-path", "-Werror",
)  # fmt: skip


class NativeLibraries(enum.Enum):
    """How the APK holds native libraries.

    Compressed, the APK has a third of the size and Android unpacks them beside it at installation. Mapped,
    they are stored at multiples of 16 KB and Android loads them out of the APK.
    """

    COMPRESSED = "compressed"
    MAPPED = "mapped"


class Libraries(msgspec.Struct, frozen=True, kw_only=True):
    """The libraries of a flavour.

    Attributes:
        compile_path: Jars that the app's sources are compiled against.
        dexed: Jars that go into the APK as dex.
        native: Native libraries by ABI.
        notices: Licences of what ONNX Runtime contains, a text that its desktop jar brings.
    """

    compile_path: tuple[Path, ...]
    dexed: tuple[Path, ...]
    native: dict[str, tuple[Path, ...]]
    notices: bytes
    versions: dict[str, str]


def build_apk(
    project: Path,
    *,
    engine: AppEngine,
    key: SigningKey,
    output: Path,
    progress: Report,
    abis: Sequence[str] = DEFAULT_ABIS,
    native: NativeLibraries = NativeLibraries.COMPRESSED,
) -> ApkReport:
    """Build, sign and check the app with the models that are bundled in the project.

    Args:
        project: The Android project.
        engine: Which flavour.
        key: The signing key.
        output: The APK; it appears only when it has passed its checks.
        progress: Called with the name of each step.
        abis: Machines that the app runs on: `arm64-v8a` for phones, `x86_64` for ordinary emulators.
        native: How the APK holds its native libraries.

    Raises:
        UnsupportedError: An engine of the flavour has no library for an ABI.
        InputError: No model is bundled, one is damaged, or none is for this engine.
        ToolError: A tool is missing or fails, or the APK does not pass its checks.
        OutputError: The output cannot be written.
    """
    directory = open_project(project)
    models = bundled_models(directory)
    formats = {artifact.format for model in models for artifact in model.artifacts}
    if engine is AppEngine.PADDLELITE and "nb" not in formats:
        raise InputError(
            "building the app for Paddle Lite: no bundled model has an artifact of its format",
            hint="edgekit bundle NAME --artifacts onnx,nb-arm",
        )
    tools = find_build_tools(load_dependencies(), progress)
    libraries = app_libraries(engine, tools, progress)
    missing = [abi for abi in abis if not libraries.native.get(abi)]
    if missing:
        raise UnsupportedError(
            f"building the app for {', '.join(missing)}: {engine.value} has no library for it",
            hint=f"edgekit apk build --abi {','.join(libraries.native)}",
        )
    with atomic_file(output) as part, scratch_directory("apk") as work_name:
        work = Path(work_name)
        progress("packing resources")
        resources = pack_resources(directory, tools, work, native)
        progress("compiling")
        classes = compile_app(directory, engine, tools, libraries, work)
        app_dex = _dex(tools, (classes,), libraries.compile_path)
        library_dex = _dex(tools, libraries.dexed, ())
        unsigned = work / "unsigned.apk"
        entries = _entries(directory, resources, [*app_dex, *library_dex], libraries)
        write_archive(unsigned, [*entries, *_native_entries(libraries, abis, native)])
        progress("signing and checking")
        signed = work / "signed.apk"
        sign(tools, unsigned, signed, key)
        report = check_apk(
            tools,
            signed,
            abis=abis,
            unpacked=native is NativeLibraries.COMPRESSED,
            app_dex_bytes=sum(map(len, app_dex)),
            versions=libraries.versions | tools.versions,
        )
        shutil.copyfile(signed, part)
    unused = sorted(formats - set(engine.formats))
    notes = [f"bundled {'/'.join(unused)} artifacts that no engine of this app runs"] if unused else []
    return msgspec.structs.replace(
        report,
        path=str(output),
        engine=engine.value,
        models=tuple(model.name for model in models),
        debug_key=key.is_debug,
        notes=(*report.notes, *notes),
    )


def app_libraries(engine: AppEngine, tools: BuildTools, progress: Report) -> Libraries:
    """Return the libraries of a flavour, fetched or found installed.

    Raises:
        ToolError: ONNX Runtime cannot be fetched, or Paddle Lite is not installed.
    """
    onnxruntime = fetch_onnxruntime(load_dependencies().onnxruntime, progress)
    libraries = Libraries(
        compile_path=(tools.onnxruntime,),
        dexed=(onnxruntime.classes,),
        native=onnxruntime.libraries,
        notices=_notices(tools.onnxruntime),
        versions={"ONNX Runtime for Android": onnxruntime.version},
    )
    if engine is AppEngine.ONNXRUNTIME:
        return libraries
    paddle = find_paddlelite()
    return Libraries(
        compile_path=(*libraries.compile_path, paddle.classes),
        dexed=(*libraries.dexed, paddle.classes),
        native={abi: (*libraries.native[abi], paddle.library) for abi in DEFAULT_ABIS},
        notices=libraries.notices,
        versions={**libraries.versions, "Paddle Lite for Android": paddle.version},
    )


def _notices(jar: Path) -> bytes:
    with zipfile.ZipFile(jar) as archive:
        return archive.read("ThirdPartyNotices.txt")


def pack_resources(
    project: Path, tools: BuildTools, work: Path, native: NativeLibraries = NativeLibraries.COMPRESSED
) -> Path:
    """Compile and link resources and manifest.

    Returns:
        An APK of resources and manifest alone; `R.java` lies below `work/generated` then.
    """
    compiled, linked = work / "resources.zip", work / "resources.apk"
    manifest = work / "AndroidManifest.xml"
    manifest.write_text(packaged_manifest(project, unpacked=native is NativeLibraries.COMPRESSED))
    doing = "packing the app's resources"
    tools.run_native(tools.aapt2, ["compile", "--dir", project / MAIN / "res", "-o", compiled], doing)
    tools.run_native(
        tools.aapt2,
        [
            "link", "-I", tools.android, "--manifest", manifest, "-o", linked, "--java", work / "generated",
            "--min-sdk-version", str(MIN_SDK), "--target-sdk-version", str(TARGET_SDK),
            "--version-code", str(version_code(__version__)), "--version-name", __version__, compiled,
        ],
        doing,
    )  # fmt: skip
    return linked


def version_code(version: str) -> int:
    """Android's whole number for a version, growing with it: 1.2.3 is 10203."""
    match = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if match is None:
        raise ToolError(f"building the app: {version} is no version of three numbers")
    major, minor, patch = map(int, match.groups())
    return major * 10_000 + minor * 100 + patch


def compile_app(
    project: Path, engine: AppEngine, tools: BuildTools, libraries: Libraries, work: Path
) -> Path:
    """Compile a flavour's sources, after `pack_resources`; the app's classes as a jar, kept in the cache."""
    path = (*libraries.compile_path, tools.android)
    sources = [*java_sources(project, engine), *sorted((work / "generated").rglob("*.java"))]
    identity = [*JAVAC_FLAGS, tools.jdk_version, *map(sha256_file, path), *map(sha256_file, sources)]

    def make(into: Path) -> None:
        classes = work / "classes"
        classes.mkdir()
        words: list[str | Path] = [*JAVAC_FLAGS, "-cp", ":".join(map(str, path)), "-d", classes, *sources]
        tools.run_javac(words, "compiling the app")
        names = sorted(file.relative_to(classes).as_posix() for file in classes.rglob("*.class"))
        write_archive(
            into / "app.jar", (Entry(name=name, data=(classes / name).read_bytes()) for name in names)
        )

    return kept("classes", identity, make) / "app.jar"


def _dex(tools: BuildTools, jars: Sequence[Path], class_path: Sequence[Path]) -> list[bytes]:
    """Return the dex of jars, made once and kept in the cache."""
    files = (*jars, *class_path, tools.r8, tools.android)
    identity = [str(MIN_SDK), tools.jdk_version, str(len(jars)), *map(sha256_file, files)]

    def make(into: Path) -> None:
        merged = into / "merged.jar"
        _merge_jars(jars, merged)
        extra = [word for path in class_path for word in ("--classpath", str(path))]
        tools.run_java(
            [tools.r8],
            D8,
            [
                "--release", "--min-api", str(MIN_SDK), "--lib", tools.android, "--lib", tools.jdk, *extra,
                "--output", into, merged,
            ],
            "turning classes into dex",
        )  # fmt: skip
        merged.unlink()

    found = kept("dex", identity, make).glob("classes*.dex")  # classes.dex, classes2.dex, …
    return [path.read_bytes() for path in sorted(found, key=lambda path: (len(path.name), path.name))]


def _merge_jars(jars: Sequence[Path], into: Path) -> None:
    content: dict[str, bytes] = {}
    for jar in jars:
        with zipfile.ZipFile(jar) as archive:
            for name in archive.namelist():
                if (
                    name.endswith(".class")
                    and not name.startswith("META-INF/")
                    and name != "module-info.class"
                ):
                    content[name] = archive.read(name)
    write_archive(into, (Entry(name=name, data=content[name]) for name in sorted(content)))


def _entries(project: Path, resources: Path, dex: Sequence[bytes], libraries: Libraries) -> list[Entry]:
    """List the entries of the APK in their order, without native libraries."""
    entries = []
    with zipfile.ZipFile(resources) as archive:
        for name in sorted(archive.namelist(), key=lambda name: (name != "AndroidManifest.xml", name)):
            entries.append(_entry(name, archive.read(name)))
    for number, content in enumerate(dex, start=1):
        entries.append(_entry(f"classes{number if number > 1 else ''}.dex", content))
    for name, path in asset_files(project):
        entries.append(_entry(name, path.read_bytes()))
    entries.append(_entry("assets/licences/onnxruntime.txt", libraries.notices))
    return entries


def _entry(name: str, data: bytes) -> Entry:
    return Entry(name=name, data=data, stored=name.endswith(STORED_SUFFIXES))


def _native_entries(libraries: Libraries, abis: Sequence[str], native: NativeLibraries) -> Iterator[Entry]:
    for abi in sorted(abis):
        for path in sorted(libraries.native[abi], key=lambda path: path.name):
            name = f"lib/{abi}/{path.name}"
            if native is NativeLibraries.MAPPED:
                yield Entry(name=name, data=path.read_bytes(), stored=True)
            else:
                yield Entry(name=name, data=path.read_bytes(), deflated=_deflated(path))


def _deflated(library: Path) -> bytes:
    """Return a library compressed, which takes seconds, from the cache."""

    def make(into: Path) -> None:
        (into / "deflated").write_bytes(deflate(library.read_bytes()))

    return (kept("libraries", [sha256_file(library)], make) / "deflated").read_bytes()
