"""Runs the app's own JUnit tests: real activities under Robolectric, real inference on the desktop."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgekit import _process
from edgekit.android.archive import Entry, write_archive
from edgekit.android.build import app_libraries, compile_app, pack_resources
from edgekit.android.dependencies import MavenFile, fetch_maven, load_dependencies
from edgekit.android.project import PACKAGE, packaged_project
from edgekit.android.sources import AppEngine
from edgekit.android.tools import BuildTools, find_build_tools

DEPENDENCIES = Path(__file__).with_name("dependencies.toml")
INSTRUMENTED = "android-all-instrumented"
NOT_ON_CLASS_PATH = (INSTRUMENTED, "animal-sniffer", "gummy-bears-api-24")
RUN_TIMEOUT_S = 600.0
# What Robolectric opens of the platform on JDK 17 and later.
OPENED = ("java.base/java.lang", "java.base/java.util", "java.base/java.io", "java.base/java.net")


@dataclass(frozen=True)
class CompiledApp:
    """The app compiled with its tests, ready to run with any assets."""

    tools: BuildTools
    class_path: tuple[Path, ...]
    resources: Path
    manifest: Path
    classes: Path
    instrumented: Path
    maven: Mapping[str, Path]

    def run(
        self,
        tests: Sequence[str],
        *,
        assets: Path,
        work: Path,
        properties: Mapping[str, str],
        is_smoke: bool = False,
    ) -> _process.Completed:
        """Run JUnit classes of the app, or only their tests of the category `Smoke`, with these assets."""
        category = [f"--filter=org.junit.experimental.categories.IncludeCategories={PACKAGE}.Smoke"]
        resources = self._with_assets(assets, work / "resources.apk")
        config = work / "config" / "com" / "android" / "tools"
        config.mkdir(parents=True)
        (config / "test_config.properties").write_text(
            f"android_merged_assets={assets}\nandroid_merged_manifest={self.manifest}\n"
            f"android_resource_apk={resources}\nandroid_custom_package={PACKAGE}\n"
        )
        path = ":".join(map(str, (work / "config", *self.class_path, self.tools.android)))
        settings = {
            "robolectric.offline": "true",
            "robolectric.dependency.dir": str(self.instrumented),
            "robolectric.logging": "stderr",
            "java.io.tmpdir": str(work),
            **properties,
        }
        return _process.run(
            [
                "nice", self.tools.jdk / "bin/java", "-Xmx2g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                *(f"--add-opens={module}=ALL-UNNAMED" for module in OPENED),
                *(f"-D{name}={value}" for name, value in settings.items()),
                "-cp", path, "org.junit.runner.JUnitCore", *(category if is_smoke else ()),
                *(f"{PACKAGE}.{test}" for test in tests),
            ],
            timeout_s=RUN_TIMEOUT_S,
        )  # fmt: skip

    def _with_assets(self, assets: Path, into: Path) -> Path:
        """Robolectric looks for assets in the APK of the resources, as Gradle packs it for unit tests."""
        entries = []
        with zipfile.ZipFile(self.resources) as archive:
            for name in archive.namelist():
                entries.append(Entry(name=name, data=archive.read(name), stored=True))
        for path in sorted(assets.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                name = f"assets/{path.relative_to(assets).as_posix()}"
                entries.append(Entry(name=name, data=path.read_bytes(), stored=True))
        write_archive(into, entries)
        return into


class MavenList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tests' own pins."""

    maven: tuple[MavenFile, ...]


def pinned_files() -> tuple[MavenFile, ...]:
    return msgspec.toml.decode(DEPENDENCIES.read_bytes(), type=MavenList).maven


def compile_tests(work: Path) -> CompiledApp:
    """Fetch what is missing, compile the app and its tests."""

    def report(_line: str) -> None:
        pass

    tools = find_build_tools(load_dependencies(), report)
    maven = fetch_maven(pinned_files(), report)
    libraries = app_libraries(AppEngine.ONNXRUNTIME, tools, report)
    project = packaged_project()
    resources = pack_resources(project, tools, work)
    app = compile_app(project, AppEngine.ONNXRUNTIME, tools, libraries, work)
    jars = tuple(_classes_of(path, work) for name, path in maven.items() if name not in NOT_ON_CLASS_PATH)
    classes = work / "test-classes"
    classes.mkdir()
    path = ":".join(map(str, (app, tools.onnxruntime, *jars, tools.android)))
    sources = sorted((project / "app/src/test/java").rglob("*.java"))
    tools.run_javac(
        ["-nowarn", "-proc:none", "-cp", path, "-d", classes, *sources], "compiling the app's tests"
    )
    instrumented = work / "instrumented"
    instrumented.mkdir()
    (instrumented / maven[INSTRUMENTED].name).symlink_to(maven[INSTRUMENTED])
    return CompiledApp(
        tools=tools,
        class_path=(classes, app, tools.onnxruntime, *jars),
        resources=resources,
        manifest=work / "AndroidManifest.xml",
        classes=app,
        instrumented=instrumented,
        maven=maven,
    )


def _classes_of(path: Path, work: Path) -> Path:
    """The jar itself, or the classes inside an AAR."""
    if path.suffix != ".aar":
        return path
    jar = work / f"{path.stem}.jar"
    with zipfile.ZipFile(path) as archive, archive.open("classes.jar") as inside, jar.open("wb") as file:
        shutil.copyfileobj(inside, file)
    return jar
