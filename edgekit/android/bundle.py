"""Exported models into the app's assets: one directory a model, everything out of its manifest."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit import __version__
from edgekit._files import locked, new_directory, output_error
from edgekit.android.model_file import (
    INDEX_NAME,
    MODEL_FILE_NAME,
    BundledArtifact,
    BundledFile,
    BundledInput,
    BundledOutput,
    ModelFile,
    ModelIndex,
)
from edgekit.android.project import MODELS, SAMPLES, open_project
from edgekit.android.samples import EncodedSample, make_samples
from edgekit.convert.manifest import (
    find_artifacts,
    usable_artifact,
    verify_files,
)
from edgekit.core.artifact import LABELS_NAME, Artifact, ArtifactKind, Manifest
from edgekit.core.parity import MAX_RELATIVE_ERROR
from edgekit.core.spec import AnswerKind
from edgekit.errors import InputError, UnsupportedError
from edgekit.tasks.classification import require_answer, require_classifier
from edgekit.vision.labels import encode_labels, read_own_labels


class BundledModel(msgspec.Struct, frozen=True, kw_only=True):
    """One model as `bundle` wrote it; `doubt` says that its weights are random."""

    name: str
    directory: str
    artifacts: tuple[str, ...]
    samples: tuple[str, ...]
    size_bytes: int
    doubt: str | None = None


def bundle(
    names: Sequence[str],
    *,
    project: Path,
    kinds: Sequence[ArtifactKind] = (ArtifactKind.ONNX,),
    pictures: Sequence[Path] = (),
    anyway: bool = False,
) -> list[BundledModel]:
    """Put models into the app; the app then has exactly these.

    Args:
        names: Exported models, by name or artifact directory.
        project: The Android project; where the directory is missing, edgekit's is copied there.
        kinds: Which artifacts of each model.
        pictures: Samples instead of the project's own; each model is tested on them in the app.
        anyway: Bundle artifacts although they failed their check.

    Raises:
        InputError: A model is not exported, lacks an artifact, or is none that the app can feed.
        ToolError: ONNX Runtime, which computes the expected scores, is not installed.
        OutputError: The project cannot be written.
    """
    directory = open_project(project)
    chosen = list(pictures) or sorted((directory / SAMPLES).glob("*.png"))
    found = [find_artifacts(name) for name in names]
    _refuse_doubles([manifest.name for _, manifest in found])
    target = directory / MODELS
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            locked(target.parent / ".bundle.lock", f"the app's models in {target}"),
            new_directory(target) as fresh,
        ):
            written = [
                _write_model(fresh / manifest.name, source, manifest, kinds, chosen, anyway)
                for source, manifest in found
            ]
            index = ModelIndex(models=tuple(model.name for model in written))
            (fresh / INDEX_NAME).write_bytes(msgspec.json.encode(index) + b"\n")
    except OSError as error:
        raise output_error(target, error) from error
    return [msgspec.structs.replace(model, directory=str(target / model.name)) for model in written]


def _refuse_doubles(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f"bundling {name}: two of the models have this name",
                hint="export one of them under another name (--name)",
            )


def _write_model(
    into: Path,
    source: Path,
    manifest: Manifest,
    kinds: Sequence[ArtifactKind],
    pictures: Sequence[Path],
    anyway: bool,
) -> BundledModel:
    # The expected scores are computed with it.
    reference = _required(manifest, ArtifactKind.ONNX, anyway)
    artifacts = [_required(manifest, kind, anyway) for kind in kinds]
    verify_files(manifest, source, [ArtifactKind.ONNX, *kinds])
    samples = make_samples(pictures, manifest.preprocess, reference, source / reference.main_file)
    _check_fit(manifest, samples)
    into.mkdir(parents=True)
    for artifact in artifacts:
        shutil.copyfile(source / artifact.main_file, into / artifact.main_file)
    labels = _label_bytes(manifest, source)
    (into / LABELS_NAME).write_bytes(labels)
    for sample in samples:
        (into / sample.entry.file).write_bytes(sample.png)
    document = _describe(manifest, artifacts, labels, samples)
    encoded = msgspec.json.format(msgspec.json.encode(document, order="deterministic"), indent=1)
    (into / MODEL_FILE_NAME).write_bytes(encoded + b"\n")
    return BundledModel(
        name=manifest.name,
        directory=str(into),
        artifacts=tuple(artifact.kind.value for artifact in artifacts),
        samples=tuple(sample.entry.title for sample in samples),
        size_bytes=sum(path.stat().st_size for path in into.iterdir()),
        doubt=manifest.doubt,
    )


def _required(manifest: Manifest, kind: ArtifactKind, anyway: bool) -> Artifact:
    require_classifier(manifest, "bundling")
    artifact = usable_artifact(manifest, kind, anyway=anyway)
    if len(artifact.inputs) != 1 or len(artifact.outputs) != 1:
        raise InputError(
            f"bundling {manifest.name}: {kind.value} has {len(artifact.inputs)} inputs and "
            f"{len(artifact.outputs)} outputs; the app feeds one picture and reads one list of scores"
        )
    return artifact


def _check_fit(manifest: Manifest, samples: Sequence[EncodedSample]) -> None:
    """Refuse a model that the app would refuse at its start."""
    require_answer(manifest, "bundling", AnswerKind.TOPK)
    if manifest.preprocess.steps or manifest.output_activation not in ("softmax", "none"):
        raise UnsupportedError(
            f"bundling {manifest.name}: the app resizes the short side, crops a square and answers with "
            "softmax; this model wants other steps, or its scores are none of softmax",
            hint=f"edgekit predict {manifest.name} IMAGE",
        )
    crop = manifest.preprocess.crop_size
    shape = manifest.inputs[0].shape
    if len(shape) != 4 or tuple(shape[1:]) != (3, crop, crop) or manifest.inputs[0].dtype != "float32":
        raise InputError(
            f"bundling {manifest.name}: its input {manifest.inputs[0].dtype}{list(shape)} is not the "
            f"float32[1,3,{crop},{crop}] of its preprocessing",
            hint="correct crop_size in the manifest's preprocess, or export again with --input-shape",
        )
    if not samples:
        raise InputError(
            f"bundling {manifest.name}: there is no sample picture", hint="name one with --sample FILE"
        )
    for sample in samples:
        if len(sample.entry.expected_scores) != manifest.num_classes:
            raise InputError(
                f"bundling {manifest.name}: the network gives {len(sample.entry.expected_scores)} scores, "
                f"the manifest says {manifest.num_classes} classes",
                hint=f"edgekit export {manifest.model or manifest.name} --force",
            )


def _label_bytes(manifest: Manifest, source: Path) -> bytes:
    """One label a line; the class numbers where the model has no labels."""
    if manifest.labels is None:
        labels: Sequence[str] = [f"class {number}" for number in range(manifest.num_classes)]
    else:
        labels = read_own_labels(source / manifest.labels, manifest.num_classes)
    return encode_labels(labels)


def _describe(
    manifest: Manifest, artifacts: Sequence[Artifact], labels: bytes, samples: Sequence[EncodedSample]
) -> ModelFile:
    crop = manifest.preprocess.crop_size
    return ModelFile(
        edgekit_version=__version__,
        name=manifest.name,
        source=manifest.source,
        num_classes=manifest.num_classes,
        output_activation=manifest.output_activation,
        labels=BundledFile(file=LABELS_NAME, sha256=hashlib.sha256(labels).hexdigest()),
        input=BundledInput(shape=(1, 3, crop, crop)),
        output=BundledOutput(shape=(1, manifest.num_classes)),
        preprocess=manifest.preprocess,
        artifacts=tuple(
            BundledArtifact(
                kind=artifact.kind.value,
                format=artifact.kind.format,
                file=artifact.main_file,
                sha256=artifact.files[0].sha256,
                size_bytes=artifact.files[0].size_bytes,
                precision=artifact.kind.precision,
                converter=artifact.tool,
                converter_version=artifact.tool_version,
                input_name=artifact.inputs[0].name,
                output_name=artifact.outputs[0].name,
                max_relative_error=MAX_RELATIVE_ERROR[artifact.kind.precision],
            )
            for artifact in artifacts
        ),
        samples=tuple(sample.entry for sample in samples),
    )
