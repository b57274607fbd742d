"""The request of an export, its ingredients, and the comparison with an earlier export."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import msgspec

from edgekit import __version__
from edgekit._files import MODEL_BYTES, check_plain_file, sha256_file
from edgekit.convert.checking import has_failed
from edgekit.convert.formats.lite import TARGETS, choose_targets
from edgekit.convert.formats.onnx import OPSET_VERSION
from edgekit.convert.formats.onnx_children import (
    asks_for_onnx,
    child_kinds,
    child_tool_version,
    prepare_converters,
)
from edgekit.convert.manifest import first_fault
from edgekit.convert.remedy import without_option
from edgekit.convert.request import ConversionRequest
from edgekit.core.artifact import (
    LABELS_NAME,
    NAME_CHARACTERS,
    Artifact,
    ArtifactKind,
    Manifest,
    is_model_name,
)
from edgekit.core.preprocess import Preprocess, Resize
from edgekit.core.spec import ModelSpec
from edgekit.errors import PADDLE_REMEDY, InputError, ToolError, UnsupportedError, UsageError
from edgekit.tasks.registry import find_task
from edgekit.toolchain import paddle
from edgekit.toolchain.component import Report
from edgekit.toolchain.opt.opt import Opt
from edgekit.vision.labels import load_labels
from edgekit.zoo.build import side_multiple
from edgekit.zoo.pretrained import find_pretrained, is_at_hand
from edgekit.zoo.registry import find_model
from edgekit.zoo.weights import PRETRAINED, RANDOM

# Protobuf, of which `.onnx` is made, holds messages of less than 2 GiB.
MOST_ONNX_BYTES = 1 << 31
FLOAT_BYTES = 4


class ExportRequest(ConversionRequest, frozen=True, kw_only=True, dict=True):
    """One network to export.

    Attributes:
        model: Name of a built-in model, or the path of a card.
        name: Keeps a variant apart under this name; None takes the card's.
        weights: `pretrained`, `random`, or the path of a `.pdparams` file.
        num_classes: Width of the last layer for random weights; None takes the card's or the file's.
        input_shape: Channels, height, width; None takes the card's.
        output_op: Operator after the network, one of the task's `output_ops`; None for the task's usual one.

    Raises:
        InputError: There is no such model.
    """

    model: str
    name: str | None = None
    weights: str = PRETRAINED
    num_classes: int | None = None
    input_shape: tuple[int, int, int] | None = None
    output_op: str | None = None

    def __post_init__(self) -> None:
        # A request of a model that does not exist is not made; the card is read here and kept.
        _ = self.spec

    @functools.cached_property
    def spec(self) -> ModelSpec:
        """The model's card."""
        return find_model(self.model)

    @property
    def model_name(self) -> str:
        return self.name or self.spec.name

    @property
    def doing(self) -> str:
        return f"exporting {self.model_name}"

    @property
    def command(self) -> str:
        shape = None if self.input_shape is None else ",".join(map(str, self.input_shape))
        options = {
            "--name": self.name,
            "--weights": None if self.weights == PRETRAINED else self.weights,
            "--num-classes": self.num_classes,
            "--input-shape": shape,
            "--output-op": self.output_op,
        }
        return self._command_line("export", self.model, options)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A request with its weights, labels and opt found.

    Attributes:
        spec: The card, with the requested input shape.
        activation: What follows the network, as the manifest says it.
        kinds: The artifacts to make.
        nb_targets: opt's runs.
        opt: The opt; None where no `.nb` is asked for.
        converters: Interpreters of the converters that start from ONNX, by format.
        labels: Labels that the user gave; None leaves them to the card.
        recipe: Inputs of the artifacts, by subject, for the manifest.
        notes: Artifacts that are left out, and why.
    """

    spec: ModelSpec
    activation: str
    kinds: tuple[ArtifactKind, ...]
    nb_targets: tuple[str, ...]
    opt: Opt | None
    converters: dict[str, Path]
    labels: tuple[str, ...] | None
    recipe: dict[str, str]
    notes: tuple[str, ...]


def has_weights(request: ExportRequest) -> bool:
    """Return True where no weights have to be downloaded. Raises InputError where the card names none."""
    return request.weights != PRETRAINED or is_at_hand(request.spec)


def make_plan(request: ExportRequest, progress: Report) -> Plan:
    """Fetch or find an export's weights, labels and opt.

    Raises:
        UsageError: Options that do not go together.
        InputError: Weights or labels that cannot be read.
        ToolError: Weights or opt that cannot be had.
    """
    request.check_formats()
    _check_size(request)
    if not is_model_name(request.model_name):
        raise UsageError(
            f"exporting: the name {request.model_name!r} is not made of {NAME_CHARACTERS}",
            hint=request.with_options("--name mine"),
        )
    for module, wanted in (("paddle", True), ("paddle2onnx", asks_for_onnx(request.formats))):
        if wanted and not paddle.is_at_hand(module):
            raise ToolError(
                f"exporting {request.model_name}: the package {module} is not installed",
                hint=PADDLE_REMEDY,
            )
    spec = _with_shape(request)
    activation = _activation(request)
    labels = None if request.labels is None else load_labels(request.labels, request.num_classes)
    weights = _weights_identity(request, spec)
    opt, targets, notes = choose_targets(
        request.formats, request.nb_targets, install=request.install, progress=progress
    )
    converters = prepare_converters(request.formats, install=request.install, progress=progress)
    # Everything is made from the Paddle model, so that is always among them.
    kinds = [ArtifactKind.PADDLE, *([ArtifactKind.ONNX] if asks_for_onnx(request.formats) else [])]
    kinds += [*(TARGETS[target] for target in targets), *child_kinds(request.formats)]
    return Plan(
        spec=spec,
        activation=activation,
        kinds=tuple(kinds),
        nb_targets=targets,
        opt=opt,
        converters=converters,
        labels=labels,
        recipe={
            "card": _digest(
                [
                    spec.network,
                    spec.input_shape,
                    spec.preprocess,
                    spec.num_classes,
                    spec.labels,
                    spec.task,
                    spec.postprocess,
                ]
            ),
            "weights": weights,
            "activation": activation,
            "num_classes": str(request.num_classes or "as the weights"),
            "labels": "as the card" if labels is None else _digest(labels),
            "name": request.model_name,
            "edgekit": __version__,
        },
        notes=notes,
    )


def _check_size(request: ExportRequest) -> None:
    """Refuse formats that cannot hold a network's weights, before it is built for minutes."""
    published = request.spec.published
    millions = (published and published.params_m) or 0.0
    weight_bytes = millions * 1e6 * FLOAT_BYTES
    if weight_bytes < MOST_ONNX_BYTES or not asks_for_onnx(request.formats):
        return
    raise UnsupportedError(
        f"{request.doing} to ONNX: {weight_bytes / 1e9:.1f} GB of weights; an ONNX file holds 2.1 at most",
        hint=request.without_format("onnx"),
    )


def _activation(request: ExportRequest) -> str:
    task, wanted = find_task(request.spec.task), request.output_op
    if wanted is None:
        return task.activation
    if wanted not in task.output_ops:
        allowed = " and ".join(task.output_ops) or "nothing to choose from"
        raise UsageError(
            f"{request.doing}: --output-op {wanted} of {task.summary}, which has {allowed}",
            hint=without_option(request.command, "--output-op"),
        )
    return wanted


def _with_shape(request: ExportRequest) -> ModelSpec:
    spec, shape = request.spec, request.input_shape
    if shape is None:
        return spec
    if shape[0] != spec.input_shape[0]:
        raise UsageError(
            f"{request.doing}: its input has {spec.input_shape[0]} channels, not {shape[0]}",
            hint=_with_shape_of(request, (spec.input_shape[0], shape[1], shape[1])),
        )
    if spec.preprocess.steps:
        return msgspec.structs.replace(spec, input_shape=shape, preprocess=_resized_to(request, shape))
    if shape[1] != shape[2]:
        raise UsageError(
            f"{request.doing}: {shape[1]}x{shape[2]} is not square; preprocessing is",
            hint=_with_shape_of(request, (shape[0], shape[1], shape[1])),
        )
    crop = spec.preprocess.crop_size
    short = spec.preprocess.resize_short
    preprocess = msgspec.structs.replace(
        spec.preprocess,
        crop_size=shape[1],
        # The evaluation transform keeps the ratio of resize to crop (256 to 224).
        resize_short=None if short is None else round(short * shape[1] / crop),
    )
    return msgspec.structs.replace(spec, input_shape=shape, preprocess=preprocess)


def _resized_to(request: ExportRequest, shape: tuple[int, int, int]) -> Preprocess:
    """Return the card's preprocessing, which is a resize to a size, for another size."""
    spec, (_, height, width) = request.spec, shape
    multiple = side_multiple(spec)
    if height % multiple or width % multiple:
        nearest = [max(multiple, round(side / multiple) * multiple) for side in (height, width)]
        raise UsageError(
            f"{request.doing}: {height}x{width} are no multiples of {multiple}, which its network halves",
            hint=_with_shape_of(request, (shape[0], nearest[0], nearest[1])),
        )
    steps = spec.preprocess.steps
    if len(steps) != 1 or not isinstance(steps[0], Resize) or steps[0].size is None:
        raise UsageError(
            f"{request.doing}: its preprocessing has several steps, which do not follow the input's shape",
            hint="write a card of your own with these steps for the other shape, and give its path",
        )
    resize = msgspec.structs.replace(steps[0], size=(height, width))
    return msgspec.structs.replace(spec.preprocess, steps=(resize,))


def _with_shape_of(request: ExportRequest, shape: tuple[int, int, int]) -> str:
    command = without_option(request.command, "--input-shape")
    return f"{command} --input-shape {','.join(map(str, shape))}"


def _weights_identity(request: ExportRequest, spec: ModelSpec) -> str:
    if request.weights == RANDOM:
        return RANDOM
    if request.weights == PRETRAINED:
        return find_pretrained(spec)[1]
    path = Path(request.weights)
    hint = request.with_options("--weights random")
    check_plain_file(path, "the weights", hint=hint, most_bytes=MODEL_BYTES)
    try:
        return sha256_file(path)
    except OSError as error:
        raise InputError(f"reading the weights {path}: {error.strerror or error}", hint=hint) from error


def _digest(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()


def why_outdated(plan: Plan, manifest: Manifest | None, directory: Path) -> str | None:
    """The first difference between a directory and the result of a plan; None where there is none."""
    if manifest is None:
        return "not exported yet"
    if has_failed(manifest):
        return "its check failed"
    for subject, value in plan.recipe.items():
        if manifest.recipe.get(subject) != value:
            return f"{subject} changed"
    for kind in plan.kinds:
        artifact = manifest.artifact(kind)
        if artifact is None:
            return f"{kind.value} not exported yet"
        reason = _tool_changed(artifact, plan.opt) or first_fault(artifact, directory)
        if reason is not None:
            return reason
    if manifest.labels is not None and not (directory / LABELS_NAME).is_file():
        return f"{LABELS_NAME} is missing"
    return None


def _tool_changed(artifact: Artifact, opt: Opt | None) -> str | None:
    if artifact.kind.format == "nb":
        version = None if opt is None or opt.version == "unknown" else opt.version
    else:
        version = child_tool_version(artifact.tool) or paddle.worker_version(artifact.tool)
    if version is not None and version != artifact.tool_version:
        return f"{artifact.kind.value} was made by {artifact.tool} {artifact.tool_version}, here is {version}"
    if artifact.kind is ArtifactKind.ONNX and artifact.options.get("opset_version") != str(OPSET_VERSION):
        return f"its opset is not {OPSET_VERSION}"
    return None
