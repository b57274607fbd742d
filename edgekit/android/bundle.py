"""Exported models into the app's assets: one directory a model, everything out of its manifest."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit import __version__
from edgekit._files import atomic_file, locked, new_directory, output_error, scratch_directory
from edgekit.android.archive import Entry, write_archive
from edgekit.android.model_file import (
    INDEX_NAME,
    MODEL_FILE_NAME,
    BundledArtifact,
    BundledFile,
    BundledInput,
    ModelFile,
    ModelIndex,
)
from edgekit.android.project import MODELS, SAMPLES, open_project, packaged_project
from edgekit.android.samples import EncodedSample, make_samples
from edgekit.convert.manifest import (
    find_artifacts,
    usable_artifact,
    verify_files,
)
from edgekit.core.artifact import LABELS_NAME, Artifact, ArtifactKind, Manifest
from edgekit.core.parity import MAX_RELATIVE_ERROR, MIN_TOP1_AGREEMENT
from edgekit.core.preprocess import Interpolation, Pad, Resize
from edgekit.core.spec import AnswerKind, Precision
from edgekit.errors import InputError, UnsupportedError
from edgekit.tasks.registry import require_pictures, task_of
from edgekit.tasks.task import Task, written_rule
from edgekit.vision.labels import encode_labels, read_own_labels
from edgekit.zoo.registry import find_model, model_names

# Each has a class in the app (`org.edgekit.demo.tasks`).
TASKS = ("classification", "multilabel", "detection", "segmentation")
MIN_PIXEL_AGREEMENT = 0.98
INTERPOLATIONS = (Interpolation.BILINEAR, Interpolation.BICUBIC)


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
    target = directory / MODELS
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            locked(target.parent / ".bundle.lock", f"the app's models in {target}"),
            new_directory(target) as fresh,
        ):
            written = _write_models(fresh, names, kinds, chosen, anyway)
    except OSError as error:
        raise output_error(target, error) from error
    return [msgspec.structs.replace(model, directory=str(target / model.name)) for model in written]


def bundle_zip(
    names: Sequence[str],
    *,
    output: Path,
    kinds: Sequence[ArtifactKind] = (ArtifactKind.ONNX,),
    pictures: Sequence[Path] = (),
    anyway: bool = False,
) -> list[BundledModel]:
    """Write models into a zip that the installed app imports; equal models give equal bytes.

    Args:
        names: Exported models, by name or artifact directory.
        output: The zip; it appears only when it is whole.
        kinds: Which artifacts of each model.
        pictures: Samples instead of edgekit's own; each model is tested on them in the app.
        anyway: Bundle artifacts although they failed their check.

    Raises:
        InputError: A model is not exported, lacks an artifact, or is none that the app can feed.
        ToolError: ONNX Runtime, which computes the expected scores, is not installed.
        OutputError: The zip cannot be written.
    """
    chosen = list(pictures) or sorted((packaged_project() / SAMPLES).glob("*.png"))
    with atomic_file(output) as part, scratch_directory("bundle") as work:
        written = _write_models(Path(work), names, kinds, chosen, anyway)
        files = sorted(path for path in Path(work).rglob("*") if path.is_file())
        places = [path.relative_to(work).as_posix() for path in files]
        write_archive(
            part,
            (
                Entry(name=place, data=path.read_bytes(), stored=place.endswith(".png"))
                for place, path in zip(places, files, strict=True)
            ),
        )
    return [msgspec.structs.replace(model, directory=str(output)) for model in written]


def _write_models(
    into: Path,
    names: Sequence[str],
    kinds: Sequence[ArtifactKind],
    pictures: Sequence[Path],
    anyway: bool,
) -> list[BundledModel]:
    """Write a directory a model, and the index."""
    found = [find_artifacts(name) for name in names]
    _refuse_doubles([manifest.name for _, manifest in found])
    written = [
        _write_model(into / manifest.name, source, manifest, kinds, pictures, anyway)
        for source, manifest in found
    ]
    index = ModelIndex(models=tuple(model.name for model in written))
    (into / INDEX_NAME).write_bytes(msgspec.json.encode(index) + b"\n")
    return written


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
    task = _readable_task(manifest)
    # The expected outputs are computed with it.
    reference = usable_artifact(manifest, source, ArtifactKind.ONNX, anyway=anyway)
    artifacts = [usable_artifact(manifest, source, kind, anyway=anyway) for kind in kinds]
    verify_files(manifest, source, [ArtifactKind.ONNX, *kinds])
    _check_input(manifest)
    samples = make_samples(pictures, task, reference, source / reference.main_file)
    _check_samples(manifest, samples)
    into.mkdir(parents=True)
    for artifact in artifacts:
        shutil.copyfile(source / artifact.main_file, into / artifact.main_file)
    labels = _label_bytes(manifest, source)
    (into / LABELS_NAME).write_bytes(labels)
    for sample in samples:
        for name, png in sample.files.items():
            (into / name).write_bytes(png)
    document = _describe(task, artifacts, labels, samples)
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


def _readable_task(manifest: Manifest) -> Task:
    """Return the meaning of the outputs. Raises UnsupportedError where the app does not know it."""
    require_pictures(manifest, "bundling")
    if manifest.task not in TASKS:
        raise UnsupportedError(
            f"bundling {manifest.name}: the app answers {', '.join(TASKS)}; this model's task is "
            f"{manifest.task}",
            hint=f"edgekit predict {manifest.name} IMAGE",
        )
    if manifest.task == "classification" and manifest.output_activation not in ("softmax", "none"):
        raise UnsupportedError(
            f"bundling {manifest.name}: the app's answers of one class are shares of softmax; this model's "
            f"scores end in {manifest.output_activation}",
            hint=f"edgekit predict {manifest.name} IMAGE",
        )
    task = task_of(manifest)
    if getattr(task.rule, "kind", None) is AnswerKind.ATTRIBUTES:
        raise UnsupportedError(
            f"bundling {manifest.name}: the app does not answer with texts of attributes",
            hint=f"edgekit predict {manifest.name} IMAGE",
        )
    return task


def _check_input(manifest: Manifest) -> None:
    """Refuse a model that the app would refuse at its start."""
    for step in manifest.preprocess.geometry:
        if isinstance(step, Pad) or (isinstance(step, Resize) and step.within is not None):
            raise UnsupportedError(
                f"bundling {manifest.name}: the app does not keep the aspect of a picture and pad it, as "
                "this model wants it",
                hint=f"edgekit predict {manifest.name} IMAGE",
            )
        if isinstance(step, Resize) and step.interpolation not in INTERPOLATIONS:
            raise UnsupportedError(
                f"bundling {manifest.name}: the app resizes {' and '.join(i.value for i in INTERPOLATIONS)}; "
                f"this model wants {step.interpolation.value}",
                hint=f"edgekit predict {manifest.name} IMAGE",
            )
    height, width = manifest.preprocess.size
    pictures = [spec for spec in manifest.inputs if len(spec.shape) == 4]
    if (
        len(pictures) != 1
        or tuple(pictures[0].shape[1:]) != (3, height, width)
        or pictures[0].dtype != "float32"
    ):
        found = ", ".join(f"{spec.dtype}{list(spec.shape)}" for spec in pictures) or "missing"
        raise InputError(
            f"bundling {manifest.name}: its input of a picture is {found}, not the "
            f"float32[1,3,{height},{width}] of its preprocessing",
            hint="correct preprocess in the manifest, or export again with --input-shape",
        )


def _check_samples(manifest: Manifest, samples: Sequence[EncodedSample]) -> None:
    if not samples:
        raise InputError(
            f"bundling {manifest.name}: there is no sample picture", hint="name one with --sample FILE"
        )
    if manifest.task not in ("classification", "multilabel"):
        return
    for sample in samples:
        (scores,) = sample.entry.expected_outputs
        if len(scores.values) != manifest.num_classes:
            raise InputError(
                f"bundling {manifest.name}: the network gives {len(scores.values)} scores, "
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


def _display_labels(manifest: Manifest) -> tuple[str, ...]:
    """Names of the classes from the model's card; empty where it has none, or the classes are others."""
    if manifest.model is None or manifest.model not in model_names():
        return ()
    spec = find_model(manifest.model)
    return spec.display_labels if len(spec.display_labels) == manifest.num_classes else ()


def _least_agreement(task: Task, precision: Precision) -> float:
    """Return the share of answers that must agree; of label maps, a pixel that two classes tie on may not."""
    least = MIN_TOP1_AGREEMENT[precision]
    return min(least, MIN_PIXEL_AGREEMENT) if task.name == "segmentation" else least


def _describe(
    task: Task, artifacts: Sequence[Artifact], labels: bytes, samples: Sequence[EncodedSample]
) -> ModelFile:
    manifest = task.manifest
    return ModelFile(
        edgekit_version=__version__,
        name=manifest.name,
        source=manifest.source,
        task=manifest.task,
        postprocess=written_rule(task.rule),
        num_classes=manifest.num_classes,
        output_activation=manifest.output_activation,
        labels=BundledFile(file=LABELS_NAME, sha256=hashlib.sha256(labels).hexdigest()),
        display_labels=_display_labels(manifest),
        input=BundledInput(shape=(1, 3, *manifest.preprocess.size)),
        outputs=samples[0].outputs,
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
                input_names=tuple(spec.name for spec in artifact.inputs),
                output_names=tuple(spec.name for spec in artifact.outputs),
                max_relative_error=MAX_RELATIVE_ERROR[artifact.kind.precision],
                min_agreement=_least_agreement(task, artifact.kind.precision),
            )
            for artifact in artifacts
        ),
        samples=tuple(sample.entry for sample in samples),
    )
