"""The sources and assets of each flavour of the app, equal to Gradle's source sets."""

from __future__ import annotations

import enum
import re
from pathlib import Path
from typing import TypeVar

import msgspec

from edgekit._files import read_bytes, sha256_file
from edgekit.android.model_file import INDEX_NAME, MODEL_FILE_NAME, ModelFile, ModelIndex
from edgekit.android.project import ASSETS, MAIN, MODELS, PACKAGE
from edgekit.engines.registry import engine as registered
from edgekit.errors import InputError


class AppEngine(enum.Enum):
    """Flavours of the app, by the engine that they are built for; ONNX Runtime is in every one."""

    ONNXRUNTIME = "onnxruntime"
    PADDLELITE = "paddlelite"

    @property
    def formats(self) -> tuple[str, ...]:
        """Artifact formats that this flavour's engines read."""
        return registered(self.value).app_formats


def java_sources(project: Path, engine: AppEngine) -> list[Path]:
    """The Java files of a flavour, sorted."""
    roots = [project / MAIN / "java", project / "app/src" / engine.value / "java"]
    return sorted(path for root in roots for path in root.rglob("*.java"))


def asset_files(project: Path) -> list[tuple[str, Path]]:
    """Name inside the APK and place of every asset, sorted; hidden files stay out."""
    root = project / ASSETS
    found = []
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        if path.is_file() and not any(part.startswith(".") for part in inside.parts):
            found.append((f"assets/{inside.as_posix()}", path))
    return found


def bundled_models(project: Path) -> list[ModelFile]:
    """The models in the assets, with every file's hash checked.

    Raises:
        InputError: There is none, or one of them is damaged.
    """
    again = "edgekit bundle NAME..."
    root = project / MODELS
    if not (root / INDEX_NAME).is_file():
        raise InputError(f"building the app: no model is bundled in {root}", hint=again)
    models = []
    for name in _decode(root / INDEX_NAME, ModelIndex, again).models:
        directory = root / name
        model = _decode(directory / MODEL_FILE_NAME, ModelFile, again)
        files = {model.labels.file: model.labels.sha256}
        files |= {artifact.file: artifact.sha256 for artifact in model.artifacts}
        files |= {sample.file: sample.sha256 for sample in model.samples}
        files |= {each.resized.file: each.resized.sha256 for each in model.samples if each.resized}
        for file_name, sha256 in files.items():
            file = directory / file_name
            if not file.is_file() or sha256_file(file) != sha256:
                raise InputError(f"checking the bundled model {file}: missing or changed", hint=again)
        models.append(model)
    return models


T = TypeVar("T")


def _decode(path: Path, kind: type[T], hint: str) -> T:
    try:
        return msgspec.json.decode(read_bytes(path, "the bundled model", hint=hint), type=kind)
    except (msgspec.DecodeError, ValueError) as error:
        raise InputError(f"reading the bundled model {path}: {error}", hint=hint) from error


def packaged_manifest(project: Path, *, unpacked: bool) -> str:
    """The app's manifest as aapt2 wants it: with what Gradle takes from its own files.

    These are the package (`namespace`), the application's id, and whether Android unpacks native libraries at
    installation (`packaging.jniLibs`).
    """
    text = read_bytes(project / MAIN / "AndroidManifest.xml", "the app's manifest").decode()
    text = text.replace("${applicationId}", PACKAGE)
    text = re.sub(r"<manifest ", f'<manifest package="{PACKAGE}" ', text, count=1)
    extract = f'<application android:extractNativeLibs="{str(unpacked).lower()}"'
    return re.sub(r"<application", extract, text, count=1)
