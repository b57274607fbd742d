"""From a user's own model to the same artifact directory that `export` makes."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import msgspec

import edgekit
from edgekit import __version__, _process, errors
from edgekit._files import output_error
from edgekit.convert.import_config import Configured, of_official_archive, read_configuration
from edgekit.convert.import_jobs import Answer, Job, OnnxJob, PirJob, ProgramJob, ScoresJob
from edgekit.convert.import_source import Source, SourceKind, open_source
from edgekit.convert.lite import TARGETS, Conversion, check_loadable
from edgekit.convert.manifest import describe_file, encode, load_manifest, verify_files
from edgekit.convert.nb import NbHeader
from edgekit.convert.plan import choose_targets
from edgekit.convert.staging import commit, exclusive, staging_directory
from edgekit.core.artifact import LABELS_NAME, MANIFEST_NAME, Artifact, ArtifactKind, Manifest, TensorSpec
from edgekit.core.spec import Preprocess
from edgekit.errors import ConversionError, EdgekitError, InputError, UsageError
from edgekit.toolchain import x2paddle
from edgekit.toolchain.component import Report
from edgekit.toolchain.opt import Opt
from edgekit.vision.labels import load_labels

STEP_TIMEOUT_S = 600.0
OPS_TIMEOUT_S = 60.0
FORMATS = ("paddle", "onnx", "nb")
_BOOTSTRAP = "import sys; sys.path[0] = sys.argv[1]; from edgekit.convert.import_worker import main; main()"
_ENVIRONMENT = {"GLOG_minloglevel": "2", "OMP_NUM_THREADS": "1"}
_PATTERN_OF_NAME = "letters, digits, dot, dash and underscore"

Signature = tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]


class ImportRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A model to import.

    Attributes:
        path: A directory, a model file or a tar.
        name: What the imported model is called.
        directory: The artifact directory.
        labels: A file of labels; None takes those of an `inference.yml` beside the model.
        preprocess: TOML or PaddleClas's YAML; None takes an `inference.yml` beside the model.
        input_shape: Channels, height, width where the model leaves them free.
        formats: Of `FORMATS`; the Paddle model is always made.
        nb_targets: Of `lite.TARGETS`; None takes all that the opt here does not crash on.
        force: Import although nothing has changed, and over an exported model.
        install: Install opt and X2Paddle on the way where they are missing.
    """

    path: Path
    name: str
    directory: Path
    labels: Path | None = None
    preprocess: Path | None = None
    input_shape: tuple[int, int, int] | None = None
    formats: tuple[str, ...] = FORMATS
    nb_targets: tuple[str, ...] | None = None
    force: bool = False
    install: bool = True


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """An imported model; `changed` is False where it was there already."""

    directory: Path
    manifest: Manifest
    changed: bool


class _Built(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker's steps gave."""

    program: Answer
    onnx: Signature | None
    onnx_tool: tuple[str, str]
    notes: tuple[str, ...]


def import_model(request: ImportRequest, source: Source, *, progress: Report) -> Imported:
    """Turn a model into artifacts and a manifest; the directory ends in its old state or in the new one.

    Args:
        request: What is asked.
        source: `open_source` of its path, still open.
        progress: Told what is going on.

    Raises:
        InputError: The model, its labels or its preprocessing are not what edgekit can take.
        ConversionError: A converter failed; unsupported operators are named with their place.
        ToolError: opt or X2Paddle are missing and cannot be had.
        OutputError: The directory cannot be written.
    """
    _check_request(request)
    configured = _configuration(request, source)
    recipe = _recipe(request, source, configured)
    opt, targets, notes = choose_targets(
        request.formats, request.nb_targets, install=request.install, progress=progress
    )
    with exclusive(request.directory):
        previous = _previous(request)
        if previous is not None and not request.force and _is_current(previous, recipe, request, targets):
            return Imported(directory=request.directory, manifest=previous, changed=False)
        progress(f"importing {source.origin} ({source.kind.value}) to {request.directory}")
        with staging_directory(request.directory) as staging:
            try:
                built = _build(request, source, configured, staging, progress)
                headers = _to_nb(request, opt, targets, staging, built.program)
                manifest = _manifest(request, source, configured, built, headers, staging)
                manifest = msgspec.structs.replace(manifest, notes=(*notes, *manifest.notes), recipe=recipe)
                (staging / MANIFEST_NAME).write_bytes(encode(manifest))
            except OSError as error:
                raise output_error(request.directory, error) from error
            commit(staging, request.directory)
    return Imported(directory=request.directory, manifest=manifest, changed=True)


def _check_request(request: ImportRequest) -> None:
    name = request.name
    if not name or name.startswith(".") or not all(each.isalnum() or each in "._-" for each in name):
        raise UsageError(
            f"importing: the name {name!r} is not made of {_PATTERN_OF_NAME}", hint="--name mine"
        )
    if request.nb_targets is not None and "nb" not in request.formats:
        raise UsageError(
            "importing: --nb-targets without nb among --formats", hint="--formats paddle,onnx,nb"
        )


def _configuration(request: ImportRequest, source: Source) -> Configured:
    path = request.preprocess or source.config
    configured = of_official_archive(request.path) if path is None else read_configuration(path)
    if request.labels is not None:
        configured = msgspec.structs.replace(configured, labels=load_labels(request.labels))
    return configured


def _recipe(request: ImportRequest, source: Source, configured: Configured) -> dict[str, str]:
    asked = (configured, request.input_shape, request.formats, request.nb_targets, request.name)
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
            hint="choose another --name, or overwrite it with --force",
        )
    return manifest


def _is_current(
    previous: Manifest, recipe: dict[str, str], request: ImportRequest, targets: tuple[str, ...]
) -> bool:
    if previous.recipe != recipe or any(
        TARGETS[target].value not in previous.artifacts for target in targets
    ):
        return False
    try:
        verify_files(previous, request.directory)
    except InputError:
        return False
    return previous.labels is None or (request.directory / previous.labels).is_file()


def _build(
    request: ImportRequest, source: Source, configured: Configured, staging: Path, progress: Report
) -> _Built:
    """Run the steps that the source needs, each in a process of its own."""
    crop_size = None if configured.preprocess is None else configured.preprocess.crop_size
    origin = str(source.origin)
    scratch = staging / "scratch"
    scratch.mkdir()
    onnx = staging / ArtifactKind.ONNX.file_names[0]
    model, params, notes = source.model, source.params, []
    signature: Signature | None = None
    tool = ("paddle2onnx", "")
    converted = source.kind is not SourceKind.LEGACY
    if source.kind is SourceKind.PIR:
        assert params is not None
        progress("converting PIR to ONNX (paddle2onnx)")
        answer = run_step(PirJob(origin=origin, model=str(model), params=str(params), onnx=str(onnx)))
        signature, tool, model = (
            (answer.onnx_inputs, answer.onnx_outputs),
            ("paddle2onnx", answer.tool_version),
            onnx,
        )
    if converted:
        site = x2paddle.require_x2paddle(install=request.install, progress=progress)
        progress("converting ONNX to a Paddle program (X2Paddle)")
        copy = str(onnx) if source.kind is SourceKind.ONNX else None
        job = OnnxJob(
            origin=origin, model=str(model), input_shape=request.input_shape, crop_size=crop_size,
            x2paddle=str(site), scratch=str(scratch), copy=copy,
        )  # fmt: skip
        answer = run_step(job)
        assert answer.program is not None
        model, notes = Path(answer.program), [*answer.notes]
        params = model.with_suffix(".pdiparams")
        if copy is not None:
            signature, tool = (answer.onnx_inputs, answer.onnx_outputs), ("import", __version__)
    progress("checking the Paddle program" + ("" if converted else " and converting it to ONNX"))
    with_onnx = "onnx" in request.formats and not converted
    program = run_step(
        ProgramJob(
            origin=origin,
            model=str(model),
            params=str(params),
            input_shape=request.input_shape,
            crop_size=crop_size,
            directory=str(staging),
            converted=converted,
            onnx=str(onnx) if with_onnx else None,
        )
    )
    if with_onnx:
        signature = (program.onnx_inputs, program.onnx_outputs)
        tool = ("paddle2onnx", _installed("paddle2onnx"))
    return _Built(program=program, onnx=signature, onnx_tool=tool, notes=(*notes, *program.notes))


def _installed(distribution: str) -> str:
    import importlib.metadata

    return importlib.metadata.version(distribution)


def run_step(job: Job) -> Answer:
    """Run one step of the worker. Raises whatever it says, or ConversionError where it dies."""
    root = Path(edgekit.__file__).parent.parent
    done = _process.run(
        [sys.executable, "-c", _BOOTSTRAP, root],
        timeout_s=STEP_TIMEOUT_S,
        env={**_ENVIRONMENT, "FLAGS_enable_pir_api": "1" if isinstance(job, ScoresJob) else "0"},
        input_text=msgspec.json.encode(job).decode(),
    )
    _process.logger.info("%s", done.stderr.strip())
    lines = done.stdout.strip().splitlines()
    if not lines:
        raise ConversionError(
            f"importing {job.origin}: the converter died ({_process.describe_exit(done.exit_code)}): "
            f"{' | '.join(done.tail(3).splitlines())[:400] or 'it said nothing'}",
            hint="the model may be damaged; edgekit --verbose import shows all of what it said",
        )
    answer = msgspec.json.decode(lines[-1], type=Answer)
    if answer.error is not None:
        kind: type[EdgekitError] = getattr(errors, answer.error)
        raise kind(answer.message, hint=answer.hint)
    return answer


def _to_nb(
    request: ImportRequest, opt: Opt | None, targets: tuple[str, ...], staging: Path, program: Answer
) -> dict[str, NbHeader]:
    """Run opt for every target; operators that it does not know are named with their place."""
    if opt is None:
        return {}
    model, params, _ = (staging / name for name in ArtifactKind.PADDLE.file_names)
    headers: dict[str, NbHeader] = {}
    for target in targets:
        output = staging / TARGETS[target].file_names[0]
        conversion = Conversion(opt, model, params, output, target=target, name=request.name)
        try:
            headers[target] = conversion.finish()
        except ConversionError as error:
            unknown = set(program.operators) - _known_to(opt, target.partition("_")[0])
            if not unknown:
                raise
            places = "; ".join(program.operators[kind] for kind in sorted(unknown))
            raise ConversionError(
                f"importing {request.path}: opt {opt.version} has no operator "
                f"{', '.join(sorted(unknown))} for {target}: {places}",
                hint="replace the operator before the export, or leave .nb out: --formats paddle,onnx",
            ) from error
        finally:
            conversion.cancel()
        if target == "x86":
            check_loadable(opt, output, request.name)
    return headers


def _known_to(opt: Opt, target: str) -> set[str]:
    """Operators that opt has for a target or for any host, out of the table that it prints."""
    words = [*opt.argv, "--print_supported_ops=true", f"--valid_targets={target}"]
    printed = _process.run(words, timeout_s=OPS_TIMEOUT_S).stdout
    return {"feed", "fetch"} | {
        line.split()[0] for line in printed.splitlines() if line.split()[1:2] == ["Y"]
    }


def _manifest(
    request: ImportRequest,
    source: Source,
    configured: Configured,
    built: _Built,
    headers: dict[str, NbHeader],
    staging: Path,
) -> Manifest:
    program = built.program
    labels = configured.labels
    if labels is not None:
        if len(labels) != program.num_classes:
            raise InputError(
                f"importing {request.path}: {len(labels)} labels for {program.num_classes} classes",
                hint="give a list with one label for every class (--labels FILE)",
            )
        (staging / LABELS_NAME).write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
    preprocess, notes = _preprocess(configured, program)
    artifacts = _artifacts(source, built, headers, request, staging)
    _drop_unlisted(staging, artifacts)
    return Manifest(
        edgekit_version=__version__,
        name=request.name,
        model=None,
        source=str(request.path),
        source_sha256=source.sha256,
        num_classes=program.num_classes,
        output_activation="softmax" if program.softmax else "none",
        preprocess=preprocess,
        labels=None if labels is None else LABELS_NAME,
        inputs=program.inputs,
        outputs=program.outputs,
        artifacts={kind.value: artifacts[kind.value] for kind in ArtifactKind if kind.value in artifacts},
        notes=(*built.notes, *notes),
    )


def _preprocess(configured: Configured, program: Answer) -> tuple[Preprocess, tuple[str, ...]]:
    side = program.inputs[0].shape[2] or 0
    if configured.preprocess is not None:
        if configured.preprocess.crop_size != side:
            raise InputError(
                f"importing: the preprocessing crops to {configured.preprocess.crop_size}, "
                f"the model takes {side}x{side}",
                hint="--preprocess FILE with that crop_size",
            )
        return configured.preprocess, ()
    default = Preprocess()
    ratio = (default.resize_short or side) / default.crop_size
    assumed = msgspec.structs.replace(default, crop_size=side, resize_short=round(side * ratio))
    return assumed, ("its preprocessing was not said: PaddleClas's for ImageNet is assumed (--preprocess)",)


def _artifacts(
    source: Source, built: _Built, headers: dict[str, NbHeader], request: ImportRequest, staging: Path
) -> dict[str, Artifact]:
    def entry(
        kind: ArtifactKind, tool: tuple[str, str], signature: Signature, parent: Artifact | None,
        options: dict[str, str],
    ) -> Artifact:  # fmt: skip
        names = [name for name in kind.file_names if (staging / name).is_file()]
        return Artifact(
            kind=kind,
            files=tuple(describe_file(staging / name) for name in names),
            tool=tool[0],
            tool_version=tool[1],
            parent_sha256=None if parent is None else parent.sha256,
            inputs=signature[0],
            outputs=signature[1],
            options=options,
        )

    own = (built.program.inputs, built.program.outputs)
    artifacts: dict[str, Artifact] = {}
    from_onnx = source.kind is not SourceKind.LEGACY
    onnx = None
    if from_onnx:
        assert built.onnx is not None
        onnx = entry(ArtifactKind.ONNX, built.onnx_tool, built.onnx, None, {})
    tool = ("x2paddle", x2paddle.VERSION) if from_onnx else ("import", __version__)
    paddle = entry(ArtifactKind.PADDLE, tool, own, onnx, {"format": "legacy"})
    if onnx is None and built.onnx is not None:
        onnx = entry(ArtifactKind.ONNX, built.onnx_tool, built.onnx, paddle, {})
    artifacts[ArtifactKind.PADDLE.value] = paddle
    if onnx is not None and "onnx" in request.formats:
        artifacts[ArtifactKind.ONNX.value] = onnx
    for target, header in headers.items():
        options = {"valid_targets": target.partition("_")[0]}
        if target.endswith("fp16"):
            options["enable_fp16"] = "true"
        made_by = ("paddle_lite_opt", header.opt_version)
        artifacts[TARGETS[target].value] = entry(TARGETS[target], made_by, own, paddle, options)
    return artifacts


def _drop_unlisted(staging: Path, artifacts: dict[str, Artifact]) -> None:
    import shutil

    listed = {file.path for artifact in artifacts.values() for file in artifact.files} | {LABELS_NAME}
    for path in staging.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in listed:
            path.unlink()


__all__ = ["FORMATS", "ImportRequest", "Imported", "import_model", "open_source"]
