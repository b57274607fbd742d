"""The model that a user imports: a Paddle program of either format, ONNX, or an archive with one of them."""

from __future__ import annotations

import contextlib
import enum
import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from edgekit._archives import ArchiveError, tar_files
from edgekit._files import MODEL_BYTES, PROGRAM_BYTES, check_plain_file, scratch_directory, sha256_file
from edgekit.errors import InputError

# PaddleClas, PaddleX 3 and PaddleOCR 3; PaddleX 2; their JSON form; PaddleDetection; PaddleSeg.
CONFIGURATIONS = (
    "inference.yml", "inference.yaml", "model.yml", "config.json", "infer_cfg.yml", "deploy.yaml"
)  # fmt: skip
HINT = "give a directory with inference.pdmodel or inference.json and .pdiparams, an .onnx, or a tar of these"


class SourceKind(enum.Enum):
    """Formats of models that can be imported."""

    LEGACY = "Paddle inference model"
    PIR = "Paddle 3 PIR model"
    ONNX = "ONNX model"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A model as it came.

    Attributes:
        model: The program or the ONNX file.
        params: Its parameters; None for ONNX.
        config: Path of the first of `CONFIGURATIONS` beside the model; None without one.
        origin: The path that the user named.
        sha256: SHA-256 over the hashes of the model and parameter files.
    """

    kind: SourceKind
    model: Path
    params: Path | None
    config: Path | None
    origin: Path
    sha256: str


@contextlib.contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Find the model in a file, a directory or a tar; an unpacked tar is deleted when the block ends.

    Raises:
        InputError: There is no model, there are several, or the tar is damaged or dangerous.
    """
    if not path.exists():
        raise InputError(f"importing {path}: no such file or directory", hint=HINT)
    if path.is_dir():
        yield _identified(path, path)
        return
    check_plain_file(path, "the model", hint=HINT)
    if not _is_tar(path):
        yield _identified(path, path)
        return
    with scratch_directory("import") as name:
        directory = Path(name)
        _unpack(path, directory)
        yield _identified(directory, path)


def _is_tar(path: Path) -> bool:
    return path.name.endswith((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"))


def _unpack(path: Path, directory: Path) -> None:
    """Unpack an archive that holds plain files only, all inside the directory, and not too many bytes."""
    try:
        for file in tar_files(path):
            file.write_to(directory / file.path)
    except ArchiveError as error:
        raise _refused(path, str(error)) from error


def _refused(path: Path, why: str) -> InputError:
    return InputError(f"unpacking {path}: {why}", hint="get the archive again from a source that you trust")


def _identified(path: Path, origin: Path) -> Source:
    kind, model, params = _model_of(path, origin)
    files = [model, *([params] if params is not None else [])]
    for file in files:
        alone = file.suffix in (".json", ".pdmodel")
        check_plain_file(file, "the model", hint=HINT, most_bytes=PROGRAM_BYTES if alone else MODEL_BYTES)
    try:
        digest = hashlib.sha256("".join(map(sha256_file, files)).encode()).hexdigest()
        if any(file.stat().st_size == 0 for file in files):
            raise InputError(f"importing {origin}: a file of the model is empty", hint=HINT)
    except OSError as error:
        raise InputError(f"importing {origin}: {error.strerror or error}", hint=HINT) from error
    candidates = [model.with_name(name) for name in CONFIGURATIONS]
    config = next((each for each in candidates if each != model and each.is_file()), None)
    return Source(kind=kind, model=model, params=params, config=config, origin=origin, sha256=digest)


def _model_of(path: Path, origin: Path) -> tuple[SourceKind, Path, Path | None]:
    models = [path] if path.is_file() else _models_below(path)
    if len(models) != 1:
        found = ", ".join(str(model.relative_to(path)) for model in models) or "no model file"
        raise InputError(f"importing {origin}: found {found}; exactly one is needed", hint=HINT)
    model = models[0]
    kind = _kind(model)
    if kind is None:
        raise InputError(f"importing {origin}: {model.name} is no model file that edgekit knows", hint=HINT)
    if kind is SourceKind.ONNX:
        return kind, model, None
    params = model.with_name("__params__") if model.name == "__model__" else model.with_suffix(".pdiparams")
    if not params.is_file():
        raise InputError(f"importing {origin}: {params.name} is missing beside {model.name}", hint=HINT)
    return kind, model, params


def _models_below(path: Path) -> list[Path]:
    """Return the model files of a directory, or of the first level of directories below that has any."""
    for pattern in ("*", "*/*", "*/*/*"):
        candidates = sorted(
            each
            for each in path.glob(pattern)
            if each.is_file() and _kind(each) is not None and not _of_a_mac(each.relative_to(path))
        )
        # Exports of PaddleX hold the same model in both formats; the older one needs no conversion.
        legacy = [each for each in candidates if _kind(each) is SourceKind.LEGACY]
        stems = {each.stem for each in legacy}
        candidates = [
            each for each in candidates if _kind(each) is not SourceKind.PIR or each.stem not in stems
        ]
        if candidates:
            return candidates
    return []


def _of_a_mac(path: Path) -> bool:
    """Return True for macOS's notes about another file (in Finder's archives, on foreign file systems)."""
    return path.parts[0] == "__MACOSX" or path.name.startswith("._")


def _kind(path: Path) -> SourceKind | None:
    if path.suffix == ".pdmodel" or path.name == "__model__":
        return SourceKind.LEGACY
    if path.suffix == ".onnx":
        return SourceKind.ONNX
    if path.suffix == ".json" and path.with_suffix(".pdiparams").exists():
        return SourceKind.PIR
    return None
