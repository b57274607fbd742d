"""The APK: built twice, signed, checked by programs that are not ours."""

from __future__ import annotations

import functools
import json
import re
import shutil
import struct
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from edgekit import __version__, _process
from edgekit.android.build import (
    DEFAULT_ABIS,
    NativeLibraries,
    app_libraries,
    build_apk,
    compile_app,
    pack_resources,
    version_code,
)
from edgekit.android.check import ApkReport, load_alignment
from edgekit.android.dependencies import fetch_maven, load_dependencies
from edgekit.android.project import MODELS, packaged_project
from edgekit.android.signing import (
    PASSWORD_VARIABLE,
    SigningKey,
    debug_key,
    user_key,
    verify_signature,
)
from edgekit.android.sources import AppEngine, packaged_manifest
from edgekit.android.tools import BuildTools, find_build_tools
from edgekit.errors import InputError, ToolError
from edgekit.toolchain.cache import cache_directory
from tests.android.conftest import needs_java
from tests.android.robolectric import pinned_files
from tests.conftest import RunCli

pytestmark = needs_java

# The app asks `Build.VERSION.SDK_INT` before it calls these.
GUARDED = ("android.os.PowerManager.getCurrentThermalStatus()",)


def _quiet(_line: str) -> None:
    pass


def _build(
    project: Path,
    output: Path,
    *,
    engine: AppEngine = AppEngine.ONNXRUNTIME,
    key: SigningKey | None = None,
    abis: Sequence[str] = DEFAULT_ABIS,
    native: NativeLibraries = NativeLibraries.COMPRESSED,
) -> ApkReport:
    return build_apk(
        project,
        engine=engine,
        key=key or debug_key(),
        output=output,
        progress=_quiet,
        abis=abis,
        native=native,
    )


@pytest.fixture(scope="module")
def tools() -> BuildTools:
    return find_build_tools(load_dependencies(), _quiet)


@pytest.fixture(scope="module")
def apk(documents_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApkReport]:
    output = tmp_path_factory.mktemp("apk") / "demo.apk"
    yield _build(documents_project, output, abis=("arm64-v8a", "x86_64"))
    output.unlink()


def test_sizes_are_within_their_limits(apk: ApkReport) -> None:
    assert Path(apk.path).stat().st_size == apk.size_bytes
    assert apk.size_without_models_bytes < 24_000_000  # of two ABIs
    assert apk.app_dex_bytes < 300_000
    with zipfile.ZipFile(apk.path) as archive:
        assert archive.getinfo("classes.dex").file_size == apk.app_dex_bytes
        models = sum(i.compress_size for i in archive.infolist() if i.filename.startswith("assets/models/"))
        notices = archive.read("assets/licences/onnxruntime.txt")
    assert models > 6_000_000
    assert len(notices) > 100_000
    assert b"Apache" in notices
    assert apk.notes == ()


@pytest.mark.slow
def test_equal_input_gives_equal_bytes(apk: ApkReport, documents_project: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(documents_project, tmp_path / "elsewhere"))
    again = _build(copy, tmp_path / "again.apk", abis=("arm64-v8a", "x86_64"))
    assert again.sha256 == apk.sha256
    assert (tmp_path / "again.apk").read_bytes() == Path(apk.path).read_bytes()


@functools.cache
def _apk_reader() -> Any:
    from androguard.core.apk import APK
    from androguard.util import set_log

    set_log("ERROR")  # works once a process
    return APK


def _extracts(apk: ApkReport) -> str:
    """Return the manifest's word on whether Android unpacks native libraries."""
    application = _apk_reader()(apk.path).get_android_manifest_xml().find("application")
    return str(application.get("{http://schemas.android.com/apk/res/android}extractNativeLibs"))


def _check_native_libraries(apk: ApkReport, method: int) -> None:
    content = Path(apk.path).read_bytes()
    with zipfile.ZipFile(apk.path) as archive:
        libraries = {info: archive.read(info) for info in archive.infolist() if info.filename.endswith(".so")}
    assert sorted(info.filename for info in libraries) == [
        f"lib/{abi}/{name}" for abi in apk.abis for name in ("libonnxruntime.so", "libonnxruntime4j_jni.so")
    ]
    for info, library in libraries.items():
        name_length, extra_length = struct.unpack_from("<2H", content, info.header_offset + 26)
        start = info.header_offset + 30 + name_length + extra_length
        assert info.compress_type == method
        if method == zipfile.ZIP_STORED:
            assert start % 16384 == 0
            assert content[start : start + 4] == b"\x7fELF"
        assert load_alignment(library, info.filename, info.filename.split("/")[1]) >= 16384


def test_native_libraries_are_compressed(apk: ApkReport) -> None:
    _check_native_libraries(apk, zipfile.ZIP_DEFLATED)
    assert _extracts(apk) == "true"


@pytest.mark.slow
def test_mapped_native_libraries_begin_at_16_kb(documents_project: Path, tmp_path: Path) -> None:
    apk = _build(documents_project, tmp_path / "mapped.apk", native=NativeLibraries.MAPPED)
    _check_native_libraries(apk, zipfile.ZIP_STORED)
    assert _extracts(apk) == "false"
    assert 24_000_000 < apk.size_without_models_bytes < 32_000_000


def test_androguard_finds_what_the_sources_say(apk: ApkReport) -> None:
    from androguard.core.dex import DEX

    seen = _apk_reader()(apk.path)
    assert seen.is_valid_APK()
    assert (seen.get_package(), seen.get_androidversion_name()) == ("org.edgekit.demo", __version__)
    assert seen.get_androidversion_code() == str(version_code(__version__))
    assert (seen.get_min_sdk_version(), seen.get_target_sdk_version()) == ("24", "36")
    assert seen.get_permissions() == ["android.permission.CAMERA"]
    assert seen.get_main_activity() == "org.edgekit.demo.ui.MainActivity"
    assert seen.is_signed_v2()
    assert seen.is_signed_v3()
    assert not seen.is_signed_v1()
    android = "{http://schemas.android.com/apk/res/android}"
    exported = {
        element.get(f"{android}name"): element.get(f"{android}exported")
        for kind in ("activity", "provider")
        for element in seen.get_android_manifest_xml().iter(kind)
    }
    bench = next(
        element
        for element in seen.get_android_manifest_xml().iter("activity")
        if element.get(f"{android}name") == ".ui.BenchmarkActivity"
    )
    # adb's shell has it, other apps have not.
    assert bench.get(f"{android}permission") == "android.permission.DUMP"
    assert exported == {
        ".ui.MainActivity": "true",
        ".ui.BenchmarkActivity": "true",
        ".ui.InfoActivity": "false",
        ".ui.LicenceActivity": "false",
        ".ui.ResultsActivity": "false",
        ".ui.ResultActivity": "false",
        ".ui.CompareActivity": "false",
        ".ui.LiveActivity": "false",
        ".ui.ModelsActivity": "false",
        ".ui.CaptureProvider": "false",
    }
    classes = {name for dex in seen.get_all_dex() for name in DEX(dex).get_classes_names()}
    ours = {f"L{path.relative_to(root).with_suffix('').as_posix()};" for root, path in _sources()}
    assert ours <= classes
    assert "Lai/onnxruntime/OrtSession;" in classes
    assert not [name for name in classes if name.startswith(("Ljava/", "Landroid/", "Lorg/robolectric/"))]


def _sources() -> list[tuple[Path, Path]]:
    roots = [packaged_project() / "app/src" / name / "java" for name in ("main", "onnxruntime")]
    return [(root, path) for root in roots for path in root.rglob("*.java")]


def _undefined(tools: BuildTools, classes: Path) -> list[str]:
    """Return the names that classes use and Android 7 (API 24) lacks or hides."""
    maven = fetch_maven(pinned_files(), _quiet)
    said = tools.run_java(
        [maven["animal-sniffer"], maven["asm"]],
        str(Path(__file__).with_name("ApiCheck.java")),
        [maven["gummy-bears-api-24"], classes, "ai.onnxruntime.*", "org.edgekit.demo.*"],
        "checking API levels",
    )
    *lines, verdict = said.splitlines()
    found = [line for line in lines if "Undefined reference" in line]
    assert verdict == ("broken" if found else "kept")
    return found


def _compiled(tools: BuildTools, project: Path, work: Path) -> Path:
    pack_resources(project, tools, work)
    libraries = app_libraries(AppEngine.ONNXRUNTIME, tools, _quiet)
    return compile_app(project, AppEngine.ONNXRUNTIME, tools, libraries, work)


@pytest.mark.slow
def test_nothing_above_the_oldest_android_is_used(tools: BuildTools, tmp_path: Path) -> None:
    found = _undefined(tools, _compiled(tools, packaged_project(), tmp_path))
    assert [line for line in found if not line.endswith(GUARDED)] == []


def test_newer_and_hidden_methods_would_be_found(tools: BuildTools, tmp_path: Path) -> None:
    source = tmp_path / "New.java"
    source.write_text(
        "class New { Object a(android.os.PowerManager p) { return p.getCurrentThermalStatus(); }\n"
        "Object b() { return android.app.ActivityThread.currentApplication(); } }"
    )
    out = tmp_path / "out"
    tools.run_javac(["--release", "8", "-cp", tools.android, "-d", out, source], "compiling a test")
    found = " ".join(_undefined(tools, out))
    assert "getCurrentThermalStatus" in found
    assert "ActivityThread" in found


@pytest.mark.slow
def test_from_bundle_to_checked_apk_in_a_minute(
    apk: ApkReport, run_cli: RunCli, doc_ori: Path, tmp_path: Path
) -> None:
    started = time.monotonic()
    assert run_cli(["bundle", doc_ori], cwd=tmp_path).exit_code == 0
    done = run_cli(["apk", "build", "--abi", "arm64-v8a,x86_64", "--json"], cwd=tmp_path)
    assert time.monotonic() - started < 60
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["sha256"] == apk.sha256
    assert (tmp_path / report["path"]).is_file()


def test_a_changed_byte_breaks_the_signature(apk: ApkReport, tools: BuildTools, tmp_path: Path) -> None:
    content = bytearray(Path(apk.path).read_bytes())
    content[len(content) // 2] ^= 1
    damaged = tmp_path / "damaged.apk"
    damaged.write_bytes(content)
    assert verify_signature(tools, Path(apk.path)) == apk.signer_sha256
    with pytest.raises(ToolError, match="signature"):
        verify_signature(tools, damaged)


@pytest.mark.slow
def test_the_users_own_key(
    documents_project: Path, tools: BuildTools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "own.p12"
    done = _process.run(
        [
            tools.jdk / "bin/keytool", "-genkeypair", "-keystore", store, "-storetype", "PKCS12",
            "-storepass", "secret word", "-alias", "mine", "-keyalg", "RSA", "-validity", "30",
            "-dname", "CN=Mine",
        ],
        timeout_s=60,
    )  # fmt: skip
    assert done.ok, done.tail()
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    with pytest.raises(InputError, match="no password"):
        user_key(store, "mine")
    output = tmp_path / "own.apk"
    monkeypatch.setenv(PASSWORD_VARIABLE, "wrong")
    with pytest.raises(ToolError, match="signing"):
        _build(documents_project, output, key=user_key(store, "mine"))
    assert not output.exists()
    monkeypatch.setenv(PASSWORD_VARIABLE, "secret word")
    report = _build(documents_project, output, key=user_key(store, "mine"))
    assert not report.debug_key
    assert report.signer_sha256 == verify_signature(tools, output)


def test_a_damaged_model_is_not_built_in(documents_project: Path, tmp_path: Path) -> None:
    project = Path(shutil.copytree(documents_project, tmp_path / "android_demo"))
    labels = next((project / MODELS).glob("*/labels.txt"))
    labels.write_text("0\n90\n180\n271\n")
    with pytest.raises(InputError, match="missing or changed"):
        _build(project, tmp_path / "a.apk")
    shutil.rmtree(project / MODELS)
    with pytest.raises(InputError, match="no model is bundled"):
        _build(project, tmp_path / "a.apk")
    assert not list(tmp_path.glob("*.apk"))


def test_paddle_lite_needs_its_artifact_and_its_library(
    documents_project: Path, doc_ori: Path, run_cli: RunCli, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="Paddle Lite") as caught:
        _build(documents_project, tmp_path / "a.apk", engine=AppEngine.PADDLELITE)
    assert "nb-arm" in str(caught.value.hint)
    bundled = run_cli(["bundle", doc_ori, "--artifacts", "onnx,nb-arm"], cwd=tmp_path)
    assert bundled.exit_code == 0, bundled.stderr
    # The build's own dependencies are shared with the user's cache; installed runtimes are not.
    cache = tmp_path / "cache"
    cache.mkdir()
    for part in ("android", "apt"):
        cache_directory(part).mkdir(parents=True, exist_ok=True)
        (cache / part).symlink_to(cache_directory(part))
    done = run_cli(
        ["apk", "build", "--engine", "paddlelite"], cwd=tmp_path, env={"EDGEKIT_CACHE": str(cache)}
    )
    assert done.exit_code == 4, done.stderr
    assert "toolchain install paddlelite-runtime --archive" in done.stderr


def test_without_java_the_package_is_named(run_cli: RunCli, documents_project: Path, tmp_path: Path) -> None:
    done = run_cli(
        ["apk", "build", "--project", documents_project],
        cwd=tmp_path,
        env={"PATH": str(tmp_path), "JAVA_HOME": "", "EDGEKIT_CACHE": str(tmp_path / "cache")},
    )
    assert (done.exit_code, done.stdout) == (4, "")
    assert "apt-get install default-jdk-headless" in done.stderr


def test_gradle_says_the_same_version() -> None:
    text = (packaged_project() / "app/build.gradle").read_text()
    assert f"versionName = '{__version__}'" in text
    assert f"versionCode = {version_code(__version__)}" in text


def test_gradle_and_its_plugin_fit_each_other() -> None:
    """AGP 9.0 needs Gradle 9.1 at least, says its release notes' table of compatibility."""
    project = packaged_project()
    assert "id 'com.android.application' version '9.0.0'" in (project / "build.gradle").read_text()
    wrapper = (project / "gradle/wrapper/gradle-wrapper.properties").read_text()
    assert "/gradle-9.1.0-bin.zip" in wrapper
    assert re.search(r"^distributionSha256Sum=[0-9a-f]{64}$", wrapper, re.MULTILINE)


def test_the_provider_has_the_authority_of_the_installed_app() -> None:
    project = packaged_project()
    assert (
        'android:authorities="${applicationId}.capture"'
        in (project / "app/src/main/AndroidManifest.xml").read_text()
    )
    assert 'android:authorities="org.edgekit.demo.capture"' in packaged_manifest(project, unpacked=True)


def test_gradle_packs_native_libraries_by_the_same_words() -> None:
    project = packaged_project()
    chosen = "providers.gradleProperty('edgekit.nativeLibraries').get() == 'compressed'"
    assert f"useLegacyPackaging = {chosen}" in (project / "app/build.gradle").read_text()
    default = f"edgekit.nativeLibraries={NativeLibraries.COMPRESSED.value}\n"
    assert default in (project / "gradle.properties").read_text()


def test_a_library_for_another_machine_is_refused() -> None:
    with pytest.raises(ToolError, match="no 64-bit library for arm64-v8a"):
        load_alignment(b"\x7fELF\x01\x01" + bytes(100), "libx.so", "arm64-v8a")
