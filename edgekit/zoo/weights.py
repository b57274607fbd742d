"""Weights for a network: official, random, or from a user's training; every key must fit."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from edgekit._files import check_plain_file, sha256_file
from edgekit.core.spec import ModelSpec
from edgekit.errors import InputError
from edgekit.toolchain.fetch.download import Progress
from edgekit.zoo.build import build_network, head_of, torch_layers
from edgekit.zoo.pretrained import find_pretrained
from edgekit.zoo.random_weights import randomise
from edgekit.zoo.registry import list_models
from edgekit.zoo.state_file import read_onnx_state, read_pdparams
from edgekit.zoo.torch_file import read_torch_state

if TYPE_CHECKING:
    import paddle

PRETRAINED = "pretrained"
RANDOM = "random"
SHOWN_KEYS = 3
# Files out of packages, pinned by cards; nobody trains into them.
_OF_PACKAGES = {".onnx": "an ONNX model", ".pth": "a PyTorch file"}

Shapes = Mapping[str, tuple[int, ...]]
Value = TypeVar("Value")


class WeightsSource(msgspec.Struct, frozen=True, kw_only=True):
    """Origin of a network's weights.

    Attributes:
        source: `pretrained`, `random (seed 0)` or the file's name, as the manifest records it.
        sha256: Hash of the weight file; None for random weights.
        path: The weight file; None for random weights.
        num_classes: Width of the last layer.
    """

    source: str
    sha256: str | None
    path: str | None
    num_classes: int


def locate_weights(
    spec: ModelSpec,
    source: str,
    *,
    num_classes: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> WeightsSource:
    """Find, fetch and read weights without importing Paddle, so that a bad file is an error at once.

    Args:
        spec: Card of the model.
        source: `pretrained`, `random`, or the path of a `.pdparams` file.
        num_classes: Expected number of classes; must agree with the file's. For random weights None takes
            the card's.
        seed: Seed of random weights.
        progress: Called with the progress of a download.

    Raises:
        InputError: The file is missing or damaged, or has another number of classes than expected.
        ToolError: Official weights cannot be reached; the hint says how to continue.
        OutputError: The cache cannot be written.
    """
    if source == RANDOM:
        return WeightsSource(
            source=f"random (seed {seed})",
            sha256=None,
            path=None,
            num_classes=spec.num_classes if num_classes is None else num_classes,
        )
    path, sha256 = _locate(spec, source, progress)
    found = _class_count(path, spec)
    if num_classes is not None and num_classes != found:
        raise InputError(
            f"loading {path} into {spec.name}: it has {found} classes, not {num_classes}",
            hint="leave --num-classes out: it is read from the weights",
        )
    return WeightsSource(
        source=source if source == PRETRAINED else path.name,
        sha256=sha256,
        path=str(path),
        num_classes=found,
    )


def build_with_weights(
    spec: ModelSpec,
    source: str,
    *,
    num_classes: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[paddle.nn.Layer, WeightsSource]:
    """Build a model's network with as many classes as its weights have, and fill it.

    Arguments are those of `locate_weights`.

    Returns:
        The network in evaluation mode, ending in logits, and where its weights came from.

    Raises:
        InputError: The file is missing, damaged, or does not fit; the message lists the first missing,
            unexpected and mis-shaped keys, the hint names the model that it does fit.
        ToolError: Official weights cannot be reached; the hint says how to continue.
        OutputError: The cache cannot be written.
    """
    located = locate_weights(spec, source, num_classes=num_classes, seed=seed, progress=progress)
    network = build_network(spec, located.num_classes)
    _fill(network, spec, located, seed)
    return network, located


def _locate(spec: ModelSpec, source: str, progress: Progress | None) -> tuple[Path, str]:
    if source == PRETRAINED:
        return find_pretrained(spec, progress=progress)
    path = Path(source)
    hint = "--weights takes pretrained, random or the path of a .pdparams file"
    if path.suffix in _OF_PACKAGES:
        kind = _OF_PACKAGES[path.suffix]
        raise InputError(f"reading the weights {source}: {kind} is no weight file of Paddle", hint=hint)
    if not path.is_file():
        with_suffix = Path(f"{source}.pdparams")
        if path.exists():
            check_plain_file(path, "the weights", hint=hint)
        raise InputError(
            f"reading the weights {source}: no such file",
            hint=f"did you mean {with_suffix}?" if with_suffix.is_file() else hint,
        )
    try:
        return path, sha256_file(path)
    except OSError as error:
        raise InputError(f"reading the weights {source}: {error.strerror or error}") from error


def _fill(network: paddle.nn.Layer, spec: ModelSpec, located: WeightsSource, seed: int) -> None:
    if located.path is None:
        randomise(network, head_of(spec).name, spec.input_shape, seed=seed)
        return
    path, own = Path(located.path), network.state_dict()
    if path.suffix == ".onnx":
        needed = {key: tensor.name for key, tensor in own.items() if key not in _training_keys(network)}
        state = read_onnx_state(path, needed)
    elif path.suffix == ".pth":
        state = read_torch_state(path, torch_layers(spec))
    else:
        state = read_pdparams(path)
    state = _completed(state, network, {key: tensor.numpy() for key, tensor in own.items()})
    check_fit(
        spec, located.path, {key: array.shape for key, array in state.items()}, parameter_shapes(network)
    )
    network.set_state_dict(state)
    network.eval()


def _training_keys(network: paddle.nn.Layer) -> Collection[str]:
    return getattr(network, "training_keys", ())


def _completed(
    found: Mapping[str, Value], network: paddle.nn.Layer, own: Mapping[str, Value]
) -> dict[str, Value]:
    """Return values by key with those that weights may lack, without those that the network computes itself.

    Of the several keys of one parameter one is enough. Keys that inference does not use keep the network's
    values.
    """
    names = {key: tensor.name for key, tensor in network.state_dict().items()}
    by_name = {names[key]: value for key, value in found.items() if key in names}
    computed = getattr(network, "computed_keys", ())
    completed = {key: value for key, value in found.items() if key not in computed}
    for key, name in names.items():
        if key not in completed and name in by_name:
            completed[key] = by_name[name]
        elif key not in completed and key in _training_keys(network):
            completed[key] = own[key]
    return completed


def parameter_shapes(network: paddle.nn.Layer) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a network's parameters and statistics by key of its state dict, in order."""
    return {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}


def _class_count(path: Path, spec: ModelSpec) -> int:
    """Return the width of a weight file's last layer; the card's where the file has no such layer."""
    if path.suffix in _OF_PACKAGES:
        return spec.num_classes
    state = read_pdparams(path)
    found = _class_count_of({key: array.shape for key, array in state.items()}, spec)
    return spec.num_classes if found is None else found


def _class_count_of(found: Shapes, spec: ModelSpec) -> int | None:
    """Return the number of classes by the width of a model's head; None where the weights have none."""
    weight = found.get(f"{head_of(spec).name}.weight", ())
    return None if len(weight) < 2 or head_of(spec).classes(weight) < 1 else head_of(spec).classes(weight)


def check_fit(spec: ModelSpec, where: str, found: Shapes, wanted: Shapes) -> None:
    """Raise InputError unless the weights and the network have the same keys and shapes.

    Args:
        spec: Card of the model that the weights are for.
        where: Name of the weights in the error.
        found: Shapes of the weights by key.
        wanted: Shapes of the network by key.
    """
    missing = [key for key in wanted if key not in found]
    unexpected = [key for key in found if key not in wanted]
    misshaped = [
        f"{key} {list(found[key])} instead of {list(shape)}"
        for key, shape in wanted.items()
        if key in found and found[key] != shape
    ]
    problems = [
        f"{len(keys)} {kind} ({', '.join(keys[:SHOWN_KEYS])}{', …' if len(keys) > SHOWN_KEYS else ''})"
        for kind, keys in (("missing", missing), ("unexpected", unexpected), ("mis-shaped", misshaped))
        if keys
    ]
    if problems:
        raise InputError(
            f"loading {where} into {spec.name}: of {len(wanted)} keys {'; '.join(problems)}",
            hint=_fit_hint(spec, found, missing or unexpected),
        )


def _fit_hint(spec: ModelSpec, found: Shapes, other_keys: Sequence[str]) -> str:
    if not other_keys and _fits(spec, found):
        return "only the number of classes differs: leave --num-classes out, it is read from the weights"
    fitting = fitting_models(found)
    if fitting:
        return f"these are weights of {' or '.join(fitting)}; export that model"
    if any(key.startswith("Student.") for key in found):
        return "these are weights of a distillation: give the file that ends in _student.pdparams"
    return f"give weights that were trained as {spec.name}"


def fitting_models(found: Shapes) -> list[str]:
    """Return the built-in models that weights of these shapes fit, for any number of classes.

    Each network is named once: shapes do not distinguish models with only different weights (`_ssld`).
    """
    names = []
    tried = set()
    for spec in list_models():
        if spec.network is None or spec.network in tried:
            continue
        tried.add(spec.network)
        if _fits(spec, found):
            names.append(spec.name)
    return names


def _fits(spec: ModelSpec, found: Shapes) -> bool:
    """Return True where weights of these shapes are a model's, for as many classes as they have."""
    import paddle

    classes = _class_count_of(found, spec)
    if classes is None:
        return False
    with paddle.LazyGuard():  # shapes without memory or initialisation
        network = build_network(spec, classes)
    wanted = parameter_shapes(network)
    return _completed(found, network, wanted) == wanted
