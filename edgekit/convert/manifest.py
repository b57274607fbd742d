"""`manifest.json` of an artifact directory: read, checked, written, found by a model's name."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import msgspec

from edgekit._files import read_bytes, sha256_file, write_atomic
from edgekit._text import nearest
from edgekit.convert.remedy import with_options
from edgekit.convert.staging import STAGING_PREFIX, settle
from edgekit.core.artifact import (
    LABELS_NAME,
    MANIFEST_NAME,
    MANIFEST_SCHEMA_VERSION,
    NAME_CHARACTERS,
    Artifact,
    ArtifactFile,
    ArtifactKind,
    Manifest,
    Origin,
    is_model_name,
)
from edgekit.core.spec import Precision
from edgekit.errors import InputError, ParityError
from edgekit.tasks.classification import Classification
from edgekit.tasks.multilabel import task_of_rule
from edgekit.tasks.registry import task_of
from edgekit.tasks.task import written_rule
from edgekit.tasks.tensors import Tensors
from edgekit.vision.labels import encode_labels
from edgekit.zoo.registry import model_names

DEFAULT_ROOT = Path("models")
SETTLED_NS = 1_000_000_000
_digests: dict[tuple[int, ...], str] = {}


class _SchemaVersion(msgspec.Struct):
    """Of a manifest of any version."""

    schema_version: int


def load_manifest(directory: Path) -> Manifest:
    """Read the manifest of an artifact directory.

    Raises:
        InputError: There is none, it is damaged, of a newer edgekit, or names files outside the directory.
    """
    settle(directory)
    path = directory / MANIFEST_NAME
    name = directory.absolute().name
    elsewhere = _output_option(directory, DEFAULT_ROOT / name)
    content = read_bytes(path, "the manifest", hint=_how_to_make(name, elsewhere))
    redo = _how_to_make(name, f"--force {elsewhere}")
    try:
        version = msgspec.json.decode(content, type=_SchemaVersion).schema_version
        if version > MANIFEST_SCHEMA_VERSION:
            raise InputError(
                f"reading the manifest {path}: its schema version is {version}, this edgekit reads up to "
                f"{MANIFEST_SCHEMA_VERSION}",
                hint=f"upgrade edgekit, or make it again with this one: {redo}",
            )
        manifest = msgspec.json.decode(content, type=Manifest)
        if version < 2:
            manifest = _with_task(manifest)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InputError(f"reading the manifest {path}: it is damaged: {error}", hint=redo) from error
    _check(manifest, path, redo)
    task_of(manifest)
    return manifest


def _with_task(manifest: Manifest) -> Manifest:
    """Return a manifest of version 1 with its task: it was said by the classes and the post-processing."""
    task, postprocess = Tensors.name, {}
    if manifest.num_classes:
        rule = Classification.read_rule(manifest.postprocess, f"the manifest of {manifest.name}")
        task, postprocess = task_of_rule(rule), written_rule(rule)
    return msgspec.structs.replace(
        manifest, schema_version=MANIFEST_SCHEMA_VERSION, task=task, postprocess=postprocess
    )


def _check(manifest: Manifest, path: Path, redo: str) -> None:
    def refuse(why: str) -> InputError:
        return InputError(f"reading the manifest {path}: it is damaged: {why}", hint=redo)

    if not is_model_name(manifest.name):
        raise refuse(f"its name {manifest.name!r} is not made of {NAME_CHARACTERS}")
    if manifest.model is not None and not is_model_name(manifest.model):
        raise refuse(f"its model {manifest.model!r} is not made of {NAME_CHARACTERS}")
    if not (manifest.inputs and manifest.outputs):
        raise refuse("no inputs or no outputs")
    for key, artifact in manifest.artifacts.items():
        if artifact.kind.value != key:
            raise refuse(f"artifact {key!r} says that it is {artifact.kind.value!r}")
        if not (artifact.files and artifact.inputs and artifact.outputs):
            raise refuse(f"artifact {key!r} has no files, no inputs or no outputs")
        if len(artifact.inputs) != len(manifest.inputs):
            raise refuse(f"artifact {key!r} has {len(artifact.inputs)} inputs, not {len(manifest.inputs)}")
        for file in artifact.files:
            if not _stays_inside(file.path):
                raise refuse(f"artifact {key!r} names a file outside of its directory: {file.path!r}")
    for file in () if manifest.origin is None else manifest.origin.files:
        if not _stays_inside(file.path):
            raise refuse(f"the model that was imported is said to lie outside: {file.path!r}")
    if manifest.labels is not None and not _stays_inside(manifest.labels):
        raise refuse(f"it names labels outside of its directory: {manifest.labels!r}")
    if manifest.num_classes < (1 if manifest.model is not None else 0):
        raise refuse(f"{manifest.num_classes} classes")
    if manifest.command is not None and not _is_edgekits(manifest.command):
        raise refuse(f"its command is none of edgekit's: {manifest.command!r}")


def _is_edgekits(command: str) -> bool:
    """Return True for a command line that a hint may repeat: users copy hints into their shell."""
    try:
        return shlex.split(command)[:1] == ["edgekit"]
    except ValueError:
        return False


def _stays_inside(name: str) -> bool:
    return name not in ("", ".", "..") and PurePosixPath(name).name == name and "\0" not in name


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write a manifest whole or not at all.

    Raises:
        OutputError: The directory cannot be written.
    """
    write_atomic(directory / MANIFEST_NAME, encode(manifest))


def encode(manifest: Manifest) -> bytes:
    """A manifest as indented JSON; equal manifests give equal bytes."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def describe_file(path: Path) -> ArtifactFile:
    """A file's entry in a manifest."""
    return ArtifactFile(path=path.name, sha256=sha256_file(path), size_bytes=path.stat().st_size)


def verify_files(manifest: Manifest, directory: Path, kinds: Iterable[ArtifactKind] | None = None) -> None:
    """Check that the files of a directory are those of its manifest, by size and hash.

    Args:
        manifest: The directory's manifest.
        directory: Where the files lie.
        kinds: Which artifacts; all where None.

    Raises:
        InputError: A file is missing or has changed; the message names the first.
    """
    wanted = None if kinds is None else {kind.value for kind in kinds}
    owners: list[Artifact | Origin] = [
        artifact for key, artifact in manifest.artifacts.items() if wanted is None or key in wanted
    ]
    if manifest.origin is not None and wanted is None:
        owners.append(manifest.origin)
    for owner in owners:
        fault = first_fault(owner, directory)
        if fault is not None:
            raise InputError(fault, hint=remake(manifest, directory))


def usable_artifact(
    manifest: Manifest,
    directory: Path,
    kind: ArtifactKind,
    *,
    serial: str | None = None,
    anyway: bool = False,
) -> Artifact:
    """An artifact of a model that may be used on this machine, or on the device of that serial.

    Args:
        manifest: The directory's manifest.
        directory: The artifact directory, for hints.
        kind: Kind of the artifact.
        serial: Serial of the device; None for this machine.
        anyway: Return an artifact that failed its check, too.

    Raises:
        InputError: The model has none; the hint is the command that makes it.
        ParityError: It failed its check, and `anyway` was not said.
    """
    name = manifest.name
    artifact = manifest.artifact(kind)
    reason = manifest.failure(kind, serial)
    if artifact is not None and (anyway or reason is None):
        return artifact
    if artifact is not None:
        raise ParityError(
            f"model {name}: its artifact {kind.value} failed its check: {reason}",
            hint=f"edgekit verify {word_for(manifest, directory)} shows it anew; "
            "--anyway uses the artifact all the same",
        )
    if kind.precision is Precision.INT8:
        raise InputError(
            f"model {name}: it has no artifact {kind.value}",
            hint=f"edgekit quantize {word_for(manifest, directory)} --calibration DIR",
        )
    if reason is not None:
        raise ParityError(
            f"model {name}: its artifact {kind.value} failed its check and was not kept: {reason}",
            hint=remake(manifest, directory, "--keep-failed"),
        )
    raise InputError(
        f"model {name}: it has no artifact {kind.value}", hint=remake_with(manifest, directory, kind)
    )


def making(kinds: Iterable[ArtifactKind]) -> str:
    """The options of `export` and `import` that make these artifacts; int8 ones are left out."""
    floats = [kind for kind in kinds if kind.precision is not Precision.INT8]
    words = (kind.format if kind.format == "nb" else kind.value for kind in floats)
    formats = f"--formats {','.join(dict.fromkeys(words))}"
    targets = [kind.value.removeprefix("nb-").replace("-", "_") for kind in floats if kind.format == "nb"]
    return f"{formats} --nb-targets {','.join(targets)}" if targets else formats


def remake(manifest: Manifest, directory: Path, options: str = "--force") -> str:
    """The command line that makes the artifacts of a directory anew; `options` replace its own.

    A directory that was copied or moved is made anew where it is.
    """
    command, name = manifest.command, shlex.quote(manifest.name)
    if command is None and manifest.model is None:
        command = f"edgekit import {shlex.quote(manifest.source)} --name {name}"
    elif command is None:
        command = f"edgekit export {manifest.model}" + ("" if name == manifest.model else f" --name {name}")
    words = shlex.split(command)
    made = Path(words[words.index("-o") + 1]) if "-o" in words[:-1] else DEFAULT_ROOT / manifest.name
    return with_options(command, f"{options} {_output_option(directory, made)}")


def remake_with(manifest: Manifest, directory: Path, kind: ArtifactKind) -> str:
    """The command line that makes an artifact of a kind beside those that a directory has."""
    kinds = [one for one in ArtifactKind if one is kind or one.value in manifest.artifacts]
    return remake(manifest, directory, making(kinds))


def word_for(manifest: Manifest, directory: Path) -> str:
    """The word, quoted for a shell, by which commands find a directory: the model's name, else its path."""
    place = _place(directory)
    return shlex.quote(manifest.name if _is_same(place, DEFAULT_ROOT / manifest.name) else str(place))


def _output_option(directory: Path, made: Path) -> str:
    """The option that makes a directory's artifacts there; empty where a command makes them there without."""
    place = _place(directory)
    return "" if _is_same(place, made) else f"-o {shlex.quote(str(place))}"


def _place(directory: Path) -> Path:
    """The artifact directory to which a directory belongs: of one in staging the directory above."""
    return directory.parent if directory.name.startswith(STAGING_PREFIX) else directory


def _is_same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def stage_manifest(manifest: Manifest, labels: tuple[str, ...] | None, staging: Path) -> None:
    """Write the manifest and the labels that it names beside the artifacts of a staging directory."""
    if labels is not None:
        (staging / LABELS_NAME).write_bytes(encode_labels(labels))
    (staging / MANIFEST_NAME).write_bytes(encode(manifest))


def first_fault(owner: Artifact | Origin, directory: Path) -> str | None:
    """Return the fault of the first file that is missing or differs from the manifest; None if there is
    none.
    """
    for file in owner.files:
        path = directory / file.path
        try:
            size = path.stat().st_size
            if size != file.size_bytes:
                return f"checking {path}: {size} bytes, the manifest says {file.size_bytes}"
            digest = _digest(path)
        except OSError as error:
            return f"checking {path}: {error.strerror or error}"
        if digest != file.sha256:
            return f"checking {path}: its SHA-256 is {digest[:12]}…, the manifest says {file.sha256[:12]}…"
    return None


def _digest(path: Path) -> str:
    """SHA-256 of a file; one that has not changed since is not read again in this process."""
    status = path.stat()
    # Of two changes within a tick of the kernel's clock the second cannot be seen.
    if time.time_ns() - max(status.st_ctime_ns, status.st_mtime_ns) < SETTLED_NS:
        return sha256_file(path)
    identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if identity not in _digests:
        _digests[identity] = sha256_file(path)
    return _digests[identity]


class NoArtifactsError(InputError):
    """A name or path has no artifact directory."""


def find_artifacts(name_or_path: str | Path, root: Path = DEFAULT_ROOT) -> tuple[Path, Manifest]:
    """The artifact directory of an exported model, by its name below `root` or by its path.

    Raises:
        NoArtifactsError: There is none; the hint is the command that makes it.
        InputError: Its manifest is unreadable.
    """
    text = os.fspath(name_or_path)
    is_name = PurePosixPath(text).name == text and text not in (".", "..")
    candidates = [root / text, Path(text)] if is_name else [Path(text)]
    for directory in candidates:
        if directory.name == MANIFEST_NAME and directory.is_file():
            directory = directory.parent
        if (directory / MANIFEST_NAME).exists() or (directory / ".pending").exists():
            return directory, load_manifest(directory)
    raise NoArtifactsError(
        f"looking for the artifacts of {text}: no {candidates[0] / MANIFEST_NAME}",
        hint=_meant(text, root) or (_how_to_make(text) if is_name else "edgekit models list"),
    )


def _meant(text: str, root: Path) -> str | None:
    """Return a hint with the exported model, or the zoo's, whose name is nearest; None where none is near."""
    if text in model_names():
        return None
    exported = {path.parent.name for path in root.glob(f"*/{MANIFEST_NAME}")}
    near = nearest(text, {*model_names(), *exported})
    if not near:
        return None
    if near[0] in exported:
        meant = " or ".join(shlex.quote(name) for name in near if name in exported)
        return f"did you mean {meant}? edgekit models list shows all"
    return f"did you mean {near[0]}? edgekit export {near[0]}; a model of your own: {_how_to_make(text)}"


def _how_to_make(name: str, options: str = "") -> str:
    """The command line that makes an artifact directory of that name."""
    if name in model_names():
        return f"edgekit export {name} {options}".strip()
    return f"edgekit import PATH --name {shlex.quote(name)} {options}".strip()


def list_artifacts(root: Path = DEFAULT_ROOT) -> list[tuple[Path, Manifest]]:
    """Every artifact directory below `root`, by name.

    Raises:
        InputError: A manifest is unreadable.
    """
    found = sorted({path.parent for path in root.glob(f"*/{MANIFEST_NAME}")})
    return [(directory, load_manifest(directory)) for directory in found]
