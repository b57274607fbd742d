"""Post-processing sections of PaddleClas and PaddleX 3: how a model answers, and its classes' names."""

from __future__ import annotations

import msgspec

from edgekit.convert.importing.attributes import ATTRIBUTES
from edgekit.convert.importing.modules import other_task
from edgekit.convert.importing.place import Place
from edgekit.core.spec import AnswerKind, Postprocess
from edgekit.errors import InputError
from edgekit.vision.labels import check_labels, read_label_file

# PaddleClas's own default (deploy/python/postprocess.py, MultiLabelThreshOutput).
DEFAULT_THRESHOLD = 0.5
NUMBERED_NOTE = "the numbers at the beginning of its lines are class numbers, no part of the labels"
Labels = tuple[str | int | float | bool | None, ...] | dict[str | int, str]


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """A post-processing section; a field that the section does not set is None."""

    postprocess: Postprocess | None = None
    labels: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


class _Named(msgspec.Struct, forbid_unknown_fields=True):
    label_list: Labels | None = None
    class_id_map_file: str | None = None
    delimiter: str | None = None


class _Topk(_Named, forbid_unknown_fields=True):
    topk: int = 5


class _MultiLabel(_Named, forbid_unknown_fields=True):
    threshold: float | tuple[float, ...] | dict[str | int, float] = DEFAULT_THRESHOLD


class _Threshold(_Named, forbid_unknown_fields=True):
    threshold: float = 0.0
    default_label_index: int = 0
    label_0: str | int | None = None
    label_1: str | int | None = None


def read_answers(sections: object, place: Place) -> Answered:
    """Read a `PostProcess` section in PaddleClas's two forms: by the key, or by `name`.

    Raises:
        InputError: It is for another task, has unknown parameters, or names no labels that can be read.
    """
    if sections is None:
        return Answered()
    if not isinstance(sections, dict):
        raise place.refuse("it holds no sections")
    chosen, arguments = _choose(dict(sections), place)
    if chosen is None:
        return Answered()
    where = place.at(f".{chosen}")
    if chosen == "Topk":
        topk = where.read(arguments, _Topk)
        if topk.topk < 1:
            raise where.refuse(f"topk {topk.topk}")
        labels, notes = _labels(topk, where)
        return Answered(postprocess=Postprocess(top_k=topk.topk), labels=labels, notes=notes)
    if chosen == "MultiLabelThreshOutput":
        several = where.read(arguments, _MultiLabel)
        labels, notes = _labels(several, where)
        thresholds = _thresholds(several.threshold, labels, where)
        rule = Postprocess(kind=AnswerKind.MULTILABEL, thresholds=thresholds)
        return Answered(postprocess=rule, labels=labels, notes=notes)
    if chosen == "ThreshOutput":
        return _thresh_output(where.read(arguments, _Threshold), where)
    if chosen in ATTRIBUTES:
        return Answered(postprocess=ATTRIBUTES[chosen](arguments, where))
    raise other_task(chosen, where)


def _choose(sections: dict[object, object], place: Place) -> tuple[str | None, object]:
    """Return the section that makes the answer; SavePreLabel only sorts pictures into directories."""
    name = sections.pop("name", None)
    if isinstance(name, str):
        return name, sections
    main = sections.pop("main_indicator", None)
    sections.pop("SavePreLabel", None)
    if main is not None:
        if main not in sections:
            raise place.refuse(f"main_indicator {main} names no section")
        return str(main), sections[main]
    if len(sections) > 1:
        raise place.refuse(f"it has several sections: {', '.join(map(str, sections))}")
    return next(((str(key), value) for key, value in sections.items()), (None, None))


def _thresh_output(given: _Threshold, place: Place) -> Answered:
    labels, notes = _labels(given, place)
    if labels is None and (given.label_0 is not None or given.label_1 is not None):
        two = (
            "0" if given.label_0 is None else given.label_0,
            "1" if given.label_1 is None else given.label_1,
        )
        labels = check_labels([str(each) for each in two], f"{place.path}: {place.section}")
    if given.default_label_index < 0:
        raise place.refuse(f"default_label_index {given.default_label_index}")
    rule = Postprocess(
        kind=AnswerKind.THRESHOLD, thresholds=(given.threshold,), default_class=given.default_label_index
    )
    return Answered(postprocess=rule, labels=labels, notes=notes)


def _thresholds(
    given: float | tuple[float, ...] | dict[str | int, float], labels: tuple[str, ...] | None, place: Place
) -> tuple[float, ...]:
    if isinstance(given, float):
        return (given,)
    if isinstance(given, tuple):
        return given
    values = {str(key): value for key, value in given.items()}
    default = values.pop("default", None)
    if default is None or labels is None:
        raise place.refuse("thresholds of single classes need a default and the labels of all classes")
    thresholds = [default] * len(labels)
    for key, value in values.items():
        if not (key.isascii() and key.isdigit() and len(key) < 10 and int(key) < len(labels)):
            raise place.refuse(f"there is no class {key} for its threshold")
        thresholds[int(key)] = value
    return tuple(thresholds)


def _labels(given: _Named, place: Place) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Return the names of the classes as they are written, and notes."""
    if given.label_list:
        return list_labels(given.label_list, place.at(".label_list")), ()
    named = given.class_id_map_file
    if named is None:
        return None, ()
    if given.delimiter not in (None, " ", "\t"):
        raise place.refuse(
            f"delimiter {given.delimiter!r}: edgekit reads class numbers before a blank or tab"
        )
    # Its path is relative to PaddleClas's checkout; a model brings the file itself, if at all.
    beside = place.path.with_name(named.replace("\\", "/").rpartition("/")[2] or "labels.txt")
    if not beside.is_file():
        return None, (
            f"no labels: {place.section} names {named}, which does not lie beside {place.path.name}",
        )
    file = read_label_file(beside)
    return file.labels, (f"{beside.name}: {NUMBERED_NOTE}",) if file.numbered else ()


def list_labels(given: Labels, place: Place) -> tuple[str, ...]:
    """Return the labels that the configuration itself contains, each as it is written.

    Raises:
        InputError: The numbers of a mapping are not 0 to N-1, or a label cannot be kept.
    """
    if isinstance(given, dict):
        by_class = {str(key): label for key, label in given.items()}
        if by_class.keys() != {str(number) for number in range(len(given))}:
            raise place.refuse(f"its class numbers are not 0 to {len(given) - 1}")
        given = tuple(by_class[str(number)] for number in range(len(given)))
    texts = ["" if each is None else str(each) for each in given]
    return check_labels(texts, f"{place.path}: {place.section}")


def decide_answer(
    configured: Postprocess | None, activation: str, num_classes: int
) -> tuple[Postprocess, tuple[str, ...]]:
    """Return a model's post-processing, from its configuration and the end of its program, and its guesses.

    Args:
        configured: The configuration's section; None without one.
        activation: The manifest's `output_activation`.
        num_classes: Number of scores of a picture.

    Raises:
        InputError: The configuration is for another number of classes.
    """
    if configured is None:
        if activation != "sigmoid":
            return Postprocess(), ()
        rule = Postprocess(kind=AnswerKind.MULTILABEL, thresholds=(DEFAULT_THRESHOLD,))
        return rule, (
            f"its scores are independent of each other and nothing says how it answers: every class from "
            f"{DEFAULT_THRESHOLD} on, as PaddleClas does (PostProcess, MultiLabelThreshOutput)",
        )
    fitting = (0, 1, num_classes) if configured.attributes is None else (num_classes,)
    if len(configured.thresholds) not in fitting or configured.default_class >= num_classes:
        raise InputError(
            f"importing: {len(configured.thresholds)} thresholds and default class "
            f"{configured.default_class} for {num_classes} classes",
            hint="correct PostProcess in the model's inference.yml",
        )
    if configured.kind in (AnswerKind.MULTILABEL, AnswerKind.ATTRIBUTES) and activation == "none":
        return configured, (
            "its scores are no probabilities: the thresholds are compared with them as they are",
        )
    return configured, ()
