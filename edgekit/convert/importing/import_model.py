"""From a user's own model to the same artifact directory that `export` makes."""

from __future__ import annotations

import functools
import hashlib
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit import __version__
from edgekit._files import output_error, sha256_file
from edgekit.convert.checking import Check, has_failed, keep_what_holds, tell_of_dropped
from edgekit.convert.entries import describe_artifact, describe_children, describe_nb
from edgekit.convert.formats.lite import TARGETS, choose_targets
from edgekit.convert.formats.nb import NbHeader
from edgekit.convert.formats.onnx_children import (
    Child,
    asks_for_onnx,
    child_kinds,
    make_children,
    prepare_converters,
)
from edgekit.convert.importing.answers import NUMBERED_NOTE
from edgekit.convert.importing.configuration import Configured, of_official_archive, read_configuration
from edgekit.convert.importing.jobs import Answer
from edgekit.convert.importing.meaning import choose_preprocess, find_meaning
from edgekit.convert.importing.source import Source, SourceKind
from edgekit.convert.importing.steps import Built, Wanted, build_program, examine_source, to_nb
from edgekit.convert.manifest import describe_file, load_manifest, stage_manifest, verify_files
from edgekit.convert.request import ConversionRequest
from edgekit.convert.staging import commit, exclusive, staging_directory
from edgekit.core.artifact import (
    LABELS_NAME,
    MANIFEST_NAME,
    NAME_CHARACTERS,
    Artifact,
    ArtifactKind,
    Manifest,
    Origin,
    Signature,
    is_model_name,
)
from edgekit.errors import ConversionError, InputError, UsageError
from edgekit.toolchain.component import Report
from edgekit.vision.labels import LABEL_SETS, load_labels, read_label_file

# Keys of a recipe: files with weights beside an ONNX, by name.
_EXTERNAL = "external "


class ImportRequest(ConversionRequest, frozen=True, kw_only=True, dict=True):
    """A model to import.

    A Paddle program is made where `paddle` or `nb` is among the formats; the source's format is always kept.

    Attributes:
        path: A directory, a model file or a tar.
        name: Name of the imported model.
        preprocess: A configuration (`read_configuration`); None takes one that lies beside the model.
        shapes: Sizes that the model leaves free, by input, with or without the batch; those under the empty
            name are for the only input.
    """

    path: Path
    name: str
    preprocess: Path | None = None
    shapes: dict[str, tuple[int, ...]] = {}

    @property
    def model_name(self) -> str:
        return self.name

    @property
    def doing(self) -> str:
        return f"importing {self.path}"

    @property
    def command(self) -> str:
        options = {"--name": self.name, "--preprocess": self.preprocess}
        line = self._command_line("import", str(self.path), options)
        for name, sizes in self.shapes.items():
            value = ",".join(map(str, sizes))
            line += f" --input-shape {shlex.quote(f'{name}={value}' if name else value)}"
        return line


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """Imported model; `changed` is False where an earlier import had made it."""

    directory: Path
    manifest: Manifest
    changed: bool


def import_model(
    request: ImportRequest, source: Source, *, check: Check | None, progress: Report
) -> Imported:
    """Turn a model into artifacts and a manifest; the directory ends in its old state or in the new one.

    Artifacts that fail their check, and those made from them, are not written; the source is kept.

    Args:
        request: The request.
        source: `open_source` of its path, still open.
        check: Compares the artifacts with the source; None leaves them unchecked.
        progress: Called with a line for the user about each step.

    Raises:
        InputError: The model, its labels or its preprocessing are not what edgekit can take.
        ConversionError: A converter failed; unsupported operators are named with their place.
        ParityError: No artifact agrees with the source.
        ToolError: opt is missing and cannot be had.
        OutputError: The directory cannot be written.
    """
    _check_request(request)
    configured = _configuration(request, source)
    recipe = _recipe(request, source, configured)
    opt, targets, notes = choose_targets(
        request.formats, request.nb_targets, install=request.install, progress=progress
    )
    converters = prepare_converters(request.formats, install=request.install, progress=progress)
    with exclusive(request.directory):
        previous = _previous(request)
        is_checked = previous is not None and (check is None or bool(previous.parity))
        if (
            previous is not None
            and is_checked
            and not request.force
            and _is_current(previous, recipe, request, source, targets)
        ):
            return Imported(directory=request.directory, manifest=previous, changed=False)
        progress(f"importing {source.origin} ({source.kind.value}) to {request.directory}")
        with staging_directory(request.directory) as staging:
            try:
                given = configured.preprocess
                examined = examine_source(source, request.shapes, given, staging, request.command)
                recipe |= {f"{_EXTERNAL}{name}": sha256 for name, sha256 in examined.external.items()}
                wanted = Wanted(
                    program=bool({"paddle", "nb"} & set(request.formats)),
                    onnx=asks_for_onnx(request.formats),
                )
                try:
                    built = build_program(source, examined, wanted, staging, progress=progress)
                except ConversionError as error:
                    raise ConversionError(
                        error.message, hint=_instead(request, source, staging) or error.hint
                    ) from error
                headers = {}
                if opt is not None:
                    assert built.program is not None
                    headers = to_nb(
                        request.path,
                        request.name,
                        opt,
                        targets,
                        staging,
                        built.program,
                        functools.partial(_with_targets, request),
                    )
                children: Sequence[Child] = ()
                if converters and built.onnx is not None:
                    children = make_children(
                        converters,
                        staging / ArtifactKind.ONNX.file_names[0],
                        built.onnx,
                        staging,
                        request.name,
                        request.without_format,
                    )
                manifest = _manifest(request, source, configured, examined, built, headers, children, staging)
                manifest = msgspec.structs.replace(manifest, notes=(*notes, *manifest.notes), recipe=recipe)
                manifest = keep_what_holds(manifest, staging, check, request)
                stage_manifest(manifest, configured.labels, staging)
            except OSError as error:
                raise output_error(request.directory, error) from error
            commit(staging, request.directory)
        tell_of_dropped(previous, manifest, request.directory, progress)
    return Imported(directory=request.directory, manifest=manifest, changed=True)


def _with_targets(request: ImportRequest, targets: tuple[str, ...]) -> str:
    """Return the command line that makes `.nb` for these targets only; no `.nb` without targets."""
    if targets:
        return request.with_options(f"--nb-targets {','.join(targets)}")
    return request.without_format("nb")


def _instead(request: ImportRequest, source: Source, staging: Path) -> str | None:
    """Return the command line of the formats that need no failed conversion; None without such formats."""
    if source.kind is SourceKind.LEGACY:
        return request.without_format("onnx")
    if (staging / ArtifactKind.ONNX.file_names[0]).is_file():
        return request.with_options("--formats onnx")
    return None


def _check_request(request: ImportRequest) -> None:
    name = request.name
    if not is_model_name(name):
        raise UsageError(
            f"importing: the name {name!r} is not made of {NAME_CHARACTERS}",
            hint=request.with_options("--name mine"),
        )
    request.check_formats()


def _configuration(request: ImportRequest, source: Source) -> Configured:
    path = request.preprocess or source.config
    configured = of_official_archive(request.path) if path is None else read_configuration(path)
    if request.labels is not None:
        return msgspec.structs.replace(configured, **_labels(request.labels, configured.notes))
    return configured


def _labels(given: Path, notes: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return the labels that were asked for, and remarks about how they were read."""
    if str(given) in LABEL_SETS:
        return {"labels": load_labels(given)}
    file = read_label_file(given)
    return {"labels": file.labels, "notes": (*notes, f"{given}: {NUMBERED_NOTE}") if file.numbered else notes}


def _recipe(request: ImportRequest, source: Source, configured: Configured) -> dict[str, str]:
    asked = (configured, request.shapes, request.formats, request.nb_targets, request.name)
    digest = hashlib.sha256(msgspec.json.encode(asked, order="deterministic")).hexdigest()
    return {"source": source.sha256, "options": digest, "edgekit": __version__}


def _previous(request: ImportRequest) -> Manifest | None:
    if not (request.directory / MANIFEST_NAME).exists():
        return None
    try:
        manifest = load_manifest(request.directory)
    except InputError:
        if request.force:
            return None
        raise
    if manifest.model is not None and not request.force:
        raise InputError(
            f"importing {request.path}: {request.directory} holds the export of {manifest.model}",
            hint=f"{request.command} --force overwrites it",
        )
    return manifest


def _is_current(
    previous: Manifest,
    recipe: dict[str, str],
    request: ImportRequest,
    source: Source,
    targets: tuple[str, ...],
) -> bool:
    kinds = [*(TARGETS[target] for target in targets), *child_kinds(request.formats)]
    made = all(kind.value in previous.artifacts for kind in kinds)
    external = {key: value for key, value in previous.recipe.items() if key.startswith(_EXTERNAL)}
    if previous.recipe != {**recipe, **external} or not made or has_failed(previous):
        return False
    try:
        verify_files(previous, request.directory)
        for key, sha256 in external.items():
            if sha256_file(source.model.parent / key.removeprefix(_EXTERNAL)) != sha256:
                return False
    except (InputError, OSError):
        return False
    return previous.labels is None or (request.directory / previous.labels).is_file()


def _manifest(
    request: ImportRequest,
    source: Source,
    configured: Configured,
    examined: Answer,
    built: Built,
    headers: dict[str, NbHeader],
    children: Sequence[Child],
    staging: Path,
) -> Manifest:
    labels = configured.labels
    meaning = find_meaning(configured, examined, request, request.path)
    if labels is not None and meaning.num_classes:
        request.check_labels(labels, meaning.num_classes)
    preprocess, notes = choose_preprocess(configured, examined, meaning)
    artifacts = _artifacts(source, built, headers, children, request, staging)
    return Manifest(
        edgekit_version=__version__,
        name=request.name,
        model=None,
        source=str(request.path),
        source_sha256=source.sha256,
        task=meaning.task,
        num_classes=meaning.num_classes,
        output_activation=examined.activation,
        preprocess=preprocess,
        postprocess=meaning.postprocess,
        labels=None if labels is None else LABELS_NAME,
        inputs=examined.inputs,
        outputs=examined.outputs,
        artifacts={kind.value: artifacts[kind.value] for kind in ArtifactKind if kind.value in artifacts},
        notes=(*examined.notes, *built.notes, *configured.notes, *notes, *meaning.notes),
        origin=_keep_source(source, artifacts, staging),
        command=request.command,
    )


def _keep_source(source: Source, artifacts: dict[str, Artifact], staging: Path) -> Origin:
    """Copy the source beside the artifacts, except for files that the artifacts include."""
    if source.kind is SourceKind.ONNX:
        # The external weights are inside.
        return Origin(format="onnx", files=artifacts[ArtifactKind.ONNX.value].files)
    assert source.params is not None
    known = {file.sha256: file for artifact in artifacts.values() for file in artifact.files}
    files = []
    suffix = ".json" if source.kind is SourceKind.PIR else ".pdmodel"
    for path, name in ((source.model, f"source{suffix}"), (source.params, "source.pdiparams")):
        kept = known.get(sha256_file(path))
        if kept is None:
            shutil.copyfile(path, staging / name)
            kept = describe_file(staging / name)
        files.append(kept)
    kind = "pir" if source.kind is SourceKind.PIR else "paddle"
    return Origin(format=kind, files=tuple(files))


def _artifacts(
    source: Source,
    built: Built,
    headers: dict[str, NbHeader],
    children: Sequence[Child],
    request: ImportRequest,
    staging: Path,
) -> dict[str, Artifact]:
    def entry(
        kind: ArtifactKind, tool: tuple[str, str], signature: Signature, parent: Artifact | None,
        options: dict[str, str],
    ) -> Artifact:  # fmt: skip
        return describe_artifact(staging, kind, tool, signature, options, parent)

    artifacts: dict[str, Artifact] = {}
    from_onnx = source.kind is not SourceKind.LEGACY
    onnx = None
    if from_onnx:
        assert built.onnx is not None
        onnx = entry(ArtifactKind.ONNX, built.onnx_tool, built.onnx, None, {})
    paddle = None
    if built.program is not None:
        tool = ("edgekit" if from_onnx else "import", __version__)
        own = (built.program.inputs, built.program.outputs)
        paddle = entry(ArtifactKind.PADDLE, tool, own, onnx, {"format": "legacy"})
        artifacts[ArtifactKind.PADDLE.value] = paddle
    if onnx is None and built.onnx is not None:
        onnx = entry(ArtifactKind.ONNX, built.onnx_tool, built.onnx, paddle, {})
    # An ONNX file that was imported is an artifact whatever was asked for.
    if onnx is not None and (asks_for_onnx(request.formats) or source.kind is SourceKind.ONNX):
        artifacts[ArtifactKind.ONNX.value] = onnx
        artifacts |= describe_children(staging, children, onnx)
    if paddle is not None:
        artifacts |= describe_nb(staging, headers, paddle)
    return artifacts
