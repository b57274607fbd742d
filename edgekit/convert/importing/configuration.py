"""Preprocessing and labels of an imported model: from TOML, or from PaddleClas's `inference.yml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import msgspec

from edgekit._files import read_bytes
from edgekit.core.spec import ChannelOrder, Interpolation, Preprocess, ResizeBackend
from edgekit.errors import InputError, ToolError
from edgekit.vision.labels import load_labels
from edgekit.zoo.registry import list_models

# Deeper or longer is no configuration; PyYAML would spend minutes on aliases of aliases.
MAX_CONFIG_BYTES = 4 << 20


class Configured(msgspec.Struct, frozen=True, kw_only=True):
    """What a configuration says; None where it says nothing."""

    preprocess: Preprocess | None = None
    labels: tuple[str, ...] | None = None


class _Resize(msgspec.Struct):
    resize_short: int | None = None
    size: int | tuple[int, int] | None = None
    interpolation: str | None = None
    backend: str | None = None


class _Crop(msgspec.Struct):
    size: int | tuple[int, int]


class _Normalize(msgspec.Struct):
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    scale: float | str = 1 / 255
    order: str | None = None


class _Decode(msgspec.Struct):
    to_rgb: bool = True


class _Topk(msgspec.Struct):
    label_list: tuple[str | int, ...] | None = None
    class_id_map_file: str | None = None


class _PostProcess(msgspec.Struct):
    topk: _Topk | None = msgspec.field(name="Topk", default=None)


class _PreProcess(msgspec.Struct):
    transform_ops: tuple[dict[str, object], ...] = ()


class _InferenceYml(msgspec.Struct):
    pre: _PreProcess | None = msgspec.field(name="PreProcess", default=None)
    post: _PostProcess | None = msgspec.field(name="PostProcess", default=None)


def of_official_archive(path: Path) -> Configured:
    """What the model card says of PaddleClas's `NAME_infer.tar`, which itself says nothing; else nothing."""
    for card in list_models():
        url = card.weights.inference_url
        if url is not None and PurePosixPath(url).name == path.name:
            return Configured(preprocess=card.preprocess, labels=load_labels(card.labels, card.num_classes))
    return Configured()


def read_configuration(path: Path) -> Configured:
    """Read a `.toml` with the fields of `Preprocess`, or PaddleClas's `.yml`.

    Raises:
        InputError: It cannot be read, or asks for an operation that edgekit does not have.
        ToolError: PyYAML is missing.
    """
    content = read_bytes(path, "the preprocessing")
    if len(content) > MAX_CONFIG_BYTES:
        raise _bad(path, f"{len(content)} bytes are no configuration")
    if path.suffix == ".toml":
        try:
            return Configured(preprocess=msgspec.toml.decode(content, type=Preprocess))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _bad(path, str(error)) from error
    return _from_yml(path, content)


def _from_yml(path: Path, content: bytes) -> Configured:
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError as error:
        raise ToolError(
            f"reading {path}: PyYAML is not installed", hint="pip install pyyaml, or give TOML (--preprocess)"
        ) from error
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(content, Loader=yaml.SafeLoader)):
            raise _bad(path, "it has aliases")
        document = msgspec.convert(yaml.safe_load(content), _InferenceYml)
    except (yaml.YAMLError, msgspec.ValidationError, ValueError, RecursionError) as error:
        raise _bad(path, " ".join(str(error).split())) from error
    preprocess = _preprocess(path, document.pre.transform_ops) if document.pre is not None else None
    return Configured(preprocess=preprocess, labels=_labels(path, document.post))


def _preprocess(path: Path, operations: tuple[dict[str, object], ...]) -> Preprocess:
    """PaddleClas's list of operations as one record; its order must be the usual one."""
    values: dict[str, object] = {}
    for operation in operations:
        for name, arguments in operation.items():
            read = _OPERATIONS.get(name)
            if read is None:
                raise _bad(path, f"edgekit has no operation {name}")
            try:
                values |= read(arguments if isinstance(arguments, Mapping) else {})
            except (msgspec.ValidationError, ValueError, ZeroDivisionError) as error:
                raise _bad(path, f"{name}: {error}") from error
    try:
        return msgspec.convert(values, Preprocess)
    except msgspec.ValidationError as error:
        raise _bad(path, str(error)) from error


def _square(size: int | tuple[int, int]) -> int:
    if isinstance(size, int):
        return size
    if size[0] != size[1]:
        raise ValueError(f"{size[0]}x{size[1]} is not square")
    return size[0]


def _resize(arguments: Mapping[str, object]) -> dict[str, object]:
    resize = msgspec.convert(arguments, _Resize)
    values: dict[str, object] = {}
    if resize.resize_short is not None:
        values["resize_short"] = resize.resize_short
    elif resize.size is not None:
        values |= {"resize_short": None, "crop_size": _square(resize.size)}
    if resize.interpolation is not None:
        values["interpolation"] = Interpolation(resize.interpolation.lower()).value
    if resize.backend is not None:
        backend = {"cv2": ResizeBackend.OPENCV, "pil": ResizeBackend.PILLOW}.get(resize.backend.lower())
        if backend is None:
            raise ValueError(f"backend {resize.backend}")
        values["resize_backend"] = backend.value
    return values


def _crop(arguments: Mapping[str, object]) -> dict[str, object]:
    return {"crop_size": _square(msgspec.convert(arguments, _Crop).size)}


def _normalize(arguments: Mapping[str, object]) -> dict[str, object]:
    normalize = msgspec.convert(arguments, _Normalize)
    scale = normalize.scale
    if isinstance(scale, str):
        # PaddleClas writes `1.0/255.0` and evaluates it.
        dividend, _, divisor = scale.partition("/")
        scale = float(dividend) / float(divisor or 1)
    if 0.0 in normalize.std:
        raise ValueError("a deviation is 0")
    return {"mean": normalize.mean, "std": normalize.std, "scale": scale}


def _decode(arguments: Mapping[str, object]) -> dict[str, object]:
    to_rgb = msgspec.convert(arguments, _Decode).to_rgb
    return {"channel_order": (ChannelOrder.RGB if to_rgb else ChannelOrder.BGR).value}


def _nothing(_arguments: Mapping[str, object]) -> dict[str, object]:
    return {}


_OPERATIONS = {
    "DecodeImage": _decode,
    "ResizeImage": _resize,
    "CropImage": _crop,
    "NormalizeImage": _normalize,
    "ToCHWImage": _nothing,
    "KeepKeys": _nothing,
}


def _labels(path: Path, post: _PostProcess | None) -> tuple[str, ...] | None:
    if post is None or post.topk is None:
        return None
    if post.topk.label_list:
        return tuple(str(label).strip().replace("\n", " ") for label in post.topk.label_list)
    named = post.topk.class_id_map_file
    if named is None:
        return None
    # Its paths are relative to PaddleClas's checkout; a model brings the file itself, if at all.
    beside = path.with_name(Path(named).name)
    return load_labels(beside) if beside.is_file() else None


def _bad(path: Path, why: str) -> InputError:
    return InputError(
        f"reading the preprocessing {path}: {why}",
        hint="--preprocess FILE.toml with resize_short, crop_size, interpolation, mean, std, scale",
    )
