"""Answers about pictures as outputs of the protocol, task by task: what metadata lists, and the arrays."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from edgekit.core.artifact import Manifest, TensorSpec
from edgekit.core.attributes import Attributes
from edgekit.core.spec import AnswerKind
from edgekit.errors import InputError, UnsupportedError
from edgekit.tasks import multilabel
from edgekit.tasks.classification import DEFAULT_TOP_K, Classification, to_prediction
from edgekit.tasks.detection import Detection
from edgekit.tasks.segmentation import Segmentation
from edgekit.tasks.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMAGE_INPUT = "image"
# The protocol's names of the types that runners read and write.
DATATYPES = {
    "float32": "FP32",
    "float16": "FP16",
    "float64": "FP64",
    "int64": "INT64",
    "int32": "INT32",
    "int8": "INT8",
    "uint8": "UINT8",
    "bool": "BOOL",
}
PROBABILITIES = "probabilities"
# Fills the places of a picture with fewer answers than another of the same request.
NO_CLASS = -1


class Tensor(NamedTuple):
    """Values of one output: an array, or a list of all values in C order."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: list[Any] | NDArray[Any]


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """An input or output as metadata has it; a size of -1 is free.

    Attributes:
        is_asked_for: True for an output that is answered only where the request names it.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    is_asked_for: bool = False


class Form(NamedTuple):
    """Outputs of a served task.

    Attributes:
        describe: Returns the outputs, from the task and the settings' `top_k`.
        write: Returns the outputs of a request in the order of `describe`, from the task, the outcomes for
            its pictures (`BatchingEngine`), `top_k`, and the names of the outputs to write. Raises
            InputError.
    """

    describe: Callable[[Task, int | None], list[Described]]
    write: Callable[[Task, Sequence[Any], int | None, Collection[str]], list[Tensor]]


def picture_inputs(manifest: Manifest) -> list[Described]:
    """Return the inputs of a model that answers about pictures: a picture, or the model's only input."""
    image = Described(name=IMAGE_INPUT, datatype="BYTES", shape=(-1,))
    own = own_input(manifest)
    return [image] if own is None else [image, *describe_tensors([own])]


def own_input(manifest: Manifest) -> TensorSpec | None:
    """Return the input that preprocessed pictures go into; None where a service cannot take them.

    A model of several inputs needs the sizes of the pictures, and the name of encoded pictures is taken.
    """
    first = manifest.inputs[0]
    return first if len(manifest.inputs) == 1 and first.name != IMAGE_INPUT else None


def describe_tensors(specs: Sequence[TensorSpec]) -> list[Described]:
    """Return inputs or outputs of a model of tensors."""
    return [
        Described(
            name=spec.name,
            datatype=DATATYPES[spec.dtype],
            shape=tuple(-1 if size is None else size for size in spec.shape),
        )
        for spec in specs
    ]


def form_of(task: Task) -> Form:
    """Return the outputs of a task. Raises UnsupportedError where a service does not know it."""
    for kind, form in _FORMS:
        if isinstance(task, kind):
            return form
    raise UnsupportedError(
        f"serving {task.manifest.name}: the service knows no outputs for the task {task.name}",
        hint=f"edgekit predict {shlex.quote(task.manifest.name)} IMAGE answers with it",
    )


def _single_outputs(task: Task, top_k: int | None) -> list[Described]:
    top = 1 if _decides(task) else min(top_k or DEFAULT_TOP_K, task.manifest.num_classes)
    return [
        Described(name="class_ids", datatype="INT64", shape=(-1, top)),
        Described(name="scores", datatype="FP32", shape=(-1, top)),
        *_names(task, top),
        _probabilities(task.manifest),
    ]


def _write_single(
    task: Task, rows: Sequence[Any], top_k: int | None, wanted: Collection[str]
) -> list[Tensor]:
    rule = task.rule if _decides(task) else None
    answers = [
        to_prediction(row, "", rule=rule, top_k=top_k or DEFAULT_TOP_K, labels=task.labels) for row in rows
    ]
    shape = (len(answers), len(answers[0].class_ids))
    tensors = [
        Tensor("class_ids", "INT64", shape, [one for answer in answers for one in answer.class_ids]),
        Tensor("scores", "FP32", shape, [one for answer in answers for one in answer.scores]),
    ]
    if task.labels:
        names = [one.encode() for answer in answers for one in answer.label_names]
        tensors.append(Tensor("label_names", "BYTES", shape, names))
    return [*tensors, *_write_probabilities(rows, wanted)]


def _decides(task: Task) -> bool:
    return isinstance(task, Classification) and task.rule.kind is AnswerKind.THRESHOLD


def _probabilities(manifest: Manifest) -> Described:
    return Described(name=PROBABILITIES, datatype="FP32", shape=(-1, manifest.num_classes), is_asked_for=True)


def _write_probabilities(rows: Sequence[Any], wanted: Collection[str]) -> list[Tensor]:
    if PROBABILITIES not in wanted:
        return []
    every = [value for row in rows for value in row.tolist()]
    return [Tensor(PROBABILITIES, "FP32", (len(rows), len(rows[0])), every)]


def _names(task: Task, count: int) -> list[Described]:
    return [Described(name="label_names", datatype="BYTES", shape=(-1, count))] if task.labels else []


def _padded_outputs(task: Task, values: str) -> list[Described]:
    """Return the outputs of answers that differ in number, with the name of the classes' values."""
    return [
        Described(name="class_ids", datatype="INT64", shape=(-1, -1)),
        Described(name=values, datatype="FP32", shape=(-1, -1)),
        *_names(task, -1),
        Described(name="counts", datatype="INT64", shape=(-1,)),
    ]


def _write_padded(
    task: Task, classes: Sequence[Sequence[int]], named: str, values: Sequence[Sequence[float]]
) -> list[Tensor]:
    most = max(map(len, classes))
    shape = (len(classes), most)
    tensors = [
        Tensor("class_ids", "INT64", shape, _filled(classes, most, NO_CLASS)),
        Tensor(named, "FP32", shape, _filled(values, most, 0.0)),
    ]
    if task.labels:
        names = [[task.labels[one].encode() for one in row] for row in classes]
        tensors.append(Tensor("label_names", "BYTES", shape, _filled(names, most, b"")))
    return [*tensors, Tensor("counts", "INT64", (len(classes),), list(map(len, classes)))]


def _filled(rows: Sequence[Sequence[Any]], count: int, empty: Any) -> list[Any]:
    return [one for row in rows for one in (*row, *(empty,) * (count - len(row)))]


def _attributes(task: Task) -> Attributes | None:
    assert isinstance(task, Classification)
    return task.rule.attributes


def _attribute_outputs(task: Task, joined: str | None, top_k: int | None) -> list[Described]:
    if top_k is not None:
        raise UnsupportedError(
            f"serving {task.manifest.name}: top_k {top_k}, but its attributes are answered all",
            hint=f"edgekit serve {shlex.quote(task.manifest.name)}",
        )
    return [
        Described(name="attributes", datatype="BYTES", shape=(-1, -1 if joined is None else 1)),
        Described(name="output", datatype="INT64", shape=(-1, task.manifest.num_classes)),
        _probabilities(task.manifest),
    ]


def _write_attributes(task: Task, rows: Sequence[Any], wanted: Collection[str]) -> list[Tensor]:
    assert isinstance(task, Classification)
    found = [multilabel.to_attributes(row, "", task.rule) for row in rows]
    texts = [
        [text.encode() for text in ([one.attributes] if isinstance(one.attributes, str) else one.attributes)]
        for one in found
    ]
    most = max(map(len, texts))
    output = [value for one in found for value in one.output]
    return [
        Tensor("attributes", "BYTES", (len(found), most), _filled(texts, most, b"")),
        Tensor("output", "INT64", (len(found), len(found[0].output)), output),
        *_write_probabilities(rows, wanted),
    ]


def _multilabel_outputs(task: Task, top_k: int | None) -> list[Described]:
    attributes = _attributes(task)
    if attributes is not None:
        return _attribute_outputs(task, attributes.joined, top_k)
    return [*_padded_outputs(task, "scores"), _probabilities(task.manifest)]


def _write_multilabel(
    task: Task, rows: Sequence[Any], top_k: int | None, wanted: Collection[str]
) -> list[Tensor]:
    if _attributes(task) is not None:
        return _write_attributes(task, rows, wanted)
    answers = [
        multilabel.to_prediction(row, "", thresholds=task.rule.thresholds, top_k=top_k) for row in rows
    ]
    tensors = _write_padded(
        task, [one.class_ids for one in answers], "scores", [one.scores for one in answers]
    )
    return [*tensors, *_write_probabilities(rows, wanted)]


def _detection_outputs(task: Task, top_k: int | None) -> list[Described]:
    boxes = Described(name="boxes", datatype="FP32", shape=(-1, -1, 4))
    return [*_padded_outputs(task, "scores"), boxes]


def _write_detection(
    task: Task, found: Sequence[Any], top_k: int | None, wanted: Collection[str]
) -> list[Tensor]:
    tensors = _write_padded(task, [one.class_ids for one in found], "scores", [one.scores for one in found])
    most = tensors[0].shape[1]
    corners = _filled([one.boxes for one in found], most, (0.0,) * 4)
    flat = [value for box in corners for value in box]
    return [*tensors, Tensor("boxes", "FP32", (len(found), most, 4), flat)]


def _segmentation_outputs(task: Task, top_k: int | None) -> list[Described]:
    label_map = Described(name="label_map", datatype="UINT8", shape=(-1, -1, -1))
    return [*_padded_outputs(task, "areas"), label_map]


def _write_segmentation(
    task: Task, found: Sequence[Any], top_k: int | None, wanted: Collection[str]
) -> list[Tensor]:
    import numpy as np

    tensors = _write_padded(task, [one.class_ids for one in found], "areas", [one.areas for one in found])
    if "label_map" not in wanted:
        return tensors
    sizes = [one.label_map.shape for one in found]
    if len(set(sizes)) > 1:
        shown = ", ".join(f"{width}x{height}" for height, width in sizes)
        raise InputError(
            f"answering with {task.manifest.name}: label_map is of pictures of one size, these are {shown}",
            hint="ask for one picture a request, or for other outputs than label_map",
        )
    maps = np.stack([one.label_map for one in found])
    return [*tensors, Tensor("label_map", "UINT8", maps.shape, maps)]


# A task comes before one that it is a kind of.
_FORMS: tuple[tuple[type[Task], Form], ...] = (
    (multilabel.Multilabel, Form(_multilabel_outputs, _write_multilabel)),
    (Classification, Form(_single_outputs, _write_single)),
    (Detection, Form(_detection_outputs, _write_detection)),
    (Segmentation, Form(_segmentation_outputs, _write_segmentation)),
)
