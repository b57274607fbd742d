"""Builds the APK without the Android SDK: javac, D8, aapt2, a ZIP writer, apksigner.

Equal sources, bundled models, tools and key give equal bytes.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit import __version__
from edgekit._files import atomic_file, locked, scratch_directory, sha256_file, temporary_directory
from edgekit.android.archive import Entry, write_archive
from edgekit.android.check import ApkReport, check_apk
from edgekit.android.dependencies import Report, fetch_onnxruntime, load_dependencies
from edgekit.android.paddlelite import find_paddlelite
from edgekit.android.project import MAIN, open_project
from edgekit.android.signing import MIN_SDK, SigningKey, sign
from edgekit.android.sources import AppEngine, asset_files, bundled_models, java_sources, packaged_manifest
from edgekit.android.tools import BuildTools, find_build_tools
from edgekit.errors import InputError, ToolError, UnsupportedError
from edgekit.toolchain.cache import cache_directory

# Google Play refuses new apps and updates below this one.
TARGET_SDK = 36
DEFAULT_ABIS = ("arm64-v8a",)
STORED_SUFFIXES = (".onnx", ".nb", ".png", ".so", ".arsc")
D8 = "com.android.tools.r8.D8"


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
) -> ApkReport:
    """Build, sign and check the app with the models that are bundled in the project.

    Args:
        project: The Android project.
        engine: Which flavour.
        key: The signing key.
        output: The APK; it appears only when it has passed its checks.
        progress: Called with the name of each step.
        abis: Machines that the app runs on: `arm64-v8a` for phones, `x86_64` for ordinary emulators.

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
        resources = pack_resources(directory, tools, work)
        progress("compiling")
        classes = compile_app(directory, engine, tools, libraries, work)
        app_dex = _dex(tools, classes, libraries.compile_path, work / "app-dex")
        library_dex = _library_dex(tools, libraries)
        unsigned = work / "unsigned.apk"
        write_archive(unsigned, _entries(directory, resources, [*app_dex, *library_dex], libraries, abis))
        progress("signing and checking")
        signed = work / "signed.apk"
        sign(tools, unsigned, signed, key)
        report = check_apk(
            tools,
            signed,
            abis=abis,
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


def pack_resources(project: Path, tools: BuildTools, work: Path) -> Path:
    """Compile and link resources and manifest.

    Returns:
        An APK of resources and manifest alone; `R.java` lies below `work/generated` then.
    """
    compiled, linked = work / "resources.zip", work / "resources.apk"
    manifest = work / "AndroidManifest.xml"
    manifest.write_text(packaged_manifest(project))
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
    """Compile a flavour's sources, after `pack_resources`; the app's classes as a jar."""
    classes = work / "classes"
    classes.mkdir()
    path = ":".join(str(jar) for jar in (*libraries.compile_path, tools.android))
    sources = [*java_sources(project, engine), *sorted((work / "generated").rglob("*.java"))]
    tools.run_javac(
        [
            "--release", "8", "-encoding", "UTF-8", "-proc:none", "-g:source,lines",
            "-Xlint:all,-options,-processing,-serial,-classfile,-path", "-Werror",
            "-cp", path, "-d", classes, *sources,
        ],
        "compiling the app",
    )  # fmt: skip
    jar = work / "app.jar"
    names = sorted(path.relative_to(classes).as_posix() for path in classes.rglob("*.class"))
    write_archive(jar, (Entry(name=name, data=(classes / name).read_bytes()) for name in names))
    return jar


def _dex(tools: BuildTools, jar: Path, class_path: Sequence[Path], into: Path) -> list[bytes]:
    into.mkdir(parents=True)
    extra = [word for path in class_path for word in ("--classpath", str(path))]
    tools.run_java(
        [tools.r8],
        D8,
        [
            "--release", "--min-api", str(MIN_SDK), "--lib", tools.android, "--lib", tools.jdk, *extra,
            "--output", into, jar,
        ],
        "turning classes into dex",
    )  # fmt: skip
    return _read_dex(into)


def _read_dex(directory: Path) -> list[bytes]:
    """Read classes.dex, classes2.dex, ... in order."""
    files = sorted(directory.glob("classes*.dex"), key=lambda path: (len(path.name), path.name))
    return [path.read_bytes() for path in files]


def _library_dex(tools: BuildTools, libraries: Libraries) -> list[bytes]:
    """Return the libraries' dex, made once and kept in the cache."""
    identity = [sha256_file(jar) for jar in (*libraries.dexed, tools.r8, tools.android)]
    digest = hashlib.sha256("\n".join([*identity, str(MIN_SDK)]).encode()).hexdigest()
    root = cache_directory("android") / "dex"
    kept = root / digest[:16]
    root.mkdir(parents=True, exist_ok=True)
    with locked(root / "edgekit.lock", "the libraries' dex"):
        if not kept.is_dir():
            with temporary_directory(".dex.held-", root) as work:
                merged = Path(work) / "libraries.jar"
                _merge_jars(libraries.dexed, merged)
                _dex(tools, merged, (), Path(work) / "out")
                (Path(work) / "out").rename(kept)
    return _read_dex(kept)


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


def _entries(
    project: Path, resources: Path, dex: Sequence[bytes], libraries: Libraries, abis: Sequence[str]
) -> list[Entry]:
    """List the entries of the APK in their order."""
    entries = []
    with zipfile.ZipFile(resources) as archive:
        for name in sorted(archive.namelist(), key=lambda name: (name != "AndroidManifest.xml", name)):
            entries.append(_entry(name, archive.read(name)))
    for number, content in enumerate(dex, start=1):
        entries.append(_entry(f"classes{number if number > 1 else ''}.dex", content))
    for name, path in asset_files(project):
        entries.append(_entry(name, path.read_bytes()))
    entries.append(_entry("assets/licences/onnxruntime.txt", libraries.notices))
    for abi in sorted(abis):
        for path in sorted(libraries.native[abi], key=lambda path: path.name):
            entries.append(_entry(f"lib/{abi}/{path.name}", path.read_bytes()))
    return entries


def _entry(name: str, data: bytes) -> Entry:
    return Entry(name=name, data=data, stored=name.endswith(STORED_SUFFIXES))
