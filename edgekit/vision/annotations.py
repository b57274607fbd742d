"""True boxes of pictures: COCO's instances, and lists of VOC annotations in PaddleDetection's form."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgekit._files import LIST_BYTES, RESULT_BYTES, check_plain_file, read_bytes
from edgekit.errors import InputError
from edgekit.vision.lines import read_lines

COCO_HINT = "give COCO's instances, e.g. annotations/instances_val2017.json, or a VOC list (LIST.txt)"
VOC_HINT = "a picture and its annotation a line, both below --data: JPEGImages/1.jpg Annotations/1.xml"
_VOC_ENTRY = re.compile(r"(.*[^ \t])[ \t]+([^ \t]+\.xml)", re.DOTALL)


class TrueBox(msgspec.Struct, frozen=True, kw_only=True):
    """One object of a picture.

    Attributes:
        class_id: Class number of the model.
        corners: x0, y0, x1, y1, pixels of the picture.
        area: Area of the object, by which COCO tells small objects from large ones, square pixels.
        crowd: True for a group of objects: it counts neither as found nor as missed.
        difficult: True for an object that counts neither as found nor as missed (VOC).
    """

    class_id: int
    corners: tuple[float, float, float, float]
    area: float
    crowd: bool = False
    difficult: bool = False


class TruePicture(msgspec.Struct, frozen=True, kw_only=True):
    """One picture with its objects.

    Attributes:
        path: Path of the picture below `--data`.
        image_id: COCO's number of the picture; its position in a VOC list, from 0.
        boxes: Objects of the picture.
    """

    path: str
    image_id: int
    boxes: tuple[TrueBox, ...]


class Annotations(msgspec.Struct, frozen=True, kw_only=True):
    """Pictures of a data set with their objects.

    Attributes:
        pictures: The pictures in the file's order.
        category_ids: The data set's category of every class of the model, in order; None where the data set
            has no such category.
        names: Names of the model's classes in order.
    """

    pictures: tuple[TruePicture, ...]
    category_ids: tuple[int | None, ...]
    names: tuple[str, ...]


class _Image(msgspec.Struct):
    id: int
    file_name: str


class _Annotation(msgspec.Struct):
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    area: float | None = None
    iscrowd: int = 0


class _Category(msgspec.Struct):
    id: int
    name: str


class _Instances(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def read_annotations(path: Path, data: Path, labels: Sequence[str], num_classes: int) -> Annotations:
    """Read the truth of a detection model.

    Args:
        path: COCO's instances (`*.json`), else a VOC list.
        data: Directory below which pictures and VOC annotations lie.
        labels: Names of the model's classes in order; empty where the model has none: COCO's categories are
            then the classes in order of their numbers.
        num_classes: Number of the model's classes.

    Raises:
        InputError: The file cannot be read or is damaged, it is of another data set (a category is none of
            the model's labels, no picture lies below `data`), or it has no pictures.
    """
    if path.suffix.lower() == ".json":
        found = _read_coco(path, labels, num_classes)
    else:
        found = _read_voc(path, data, labels, num_classes)
    if not found.pictures:
        raise InputError(f"reading the annotations {path}: it has no pictures", hint=COCO_HINT)
    if not any((data / picture.path).exists() for picture in found.pictures):
        raise InputError(
            f"reading the annotations {path}: none of its {len(found.pictures)} pictures lies below {data}; "
            f"the first is {found.pictures[0].path}",
            hint="give the directory of the pictures of these annotations (--data DIR)",
        )
    return found


def _read_coco(path: Path, labels: Sequence[str], num_classes: int) -> Annotations:
    def refuse(why: str) -> InputError:
        return InputError(f"reading the annotations {path}: {why}", hint=COCO_HINT)

    content = read_bytes(path, "the annotations", hint=COCO_HINT, most_bytes=RESULT_BYTES)
    try:
        instances = msgspec.json.decode(content, type=_Instances)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refuse(f"it is not in the form of COCO's instances: {error}") from error
    for what, numbers in (("picture", instances.images), ("category", instances.categories)):
        twice = [number for number, count in Counter(each.id for each in numbers).items() if count > 1]
        if twice:
            raise refuse(f"the {what} {twice[0]} is there twice")
    classes = _classes_of(instances.categories, labels, num_classes, path)
    boxes: dict[int, list[TrueBox]] = {image.id: [] for image in instances.images}
    for each in instances.annotations:
        if each.image_id not in boxes:
            raise refuse(f"an object is of the picture {each.image_id}, which the file does not have")
        if each.category_id not in classes:
            raise refuse(f"an object is of the category {each.category_id}, which the file does not have")
        left, top, width, height = each.bbox
        if width < 0 or height < 0:
            raise refuse(f"the box {list(each.bbox)} of the picture {each.image_id} has a negative side")
        box = TrueBox(
            class_id=classes[each.category_id],
            corners=(left, top, left + width, top + height),
            area=width * height if each.area is None else each.area,
            crowd=bool(each.iscrowd),
        )
        boxes[each.image_id].append(box)
    categories: list[int | None] = [None] * num_classes
    names = list(labels) or [""] * num_classes
    for category in instances.categories:
        categories[classes[category.id]] = category.id
        names[classes[category.id]] = category.name
    return Annotations(
        pictures=tuple(
            TruePicture(path=image.file_name, image_id=image.id, boxes=tuple(boxes[image.id]))
            for image in instances.images
        ),
        category_ids=tuple(categories),
        names=tuple(names),
    )


def _classes_of(
    categories: Sequence[_Category], labels: Sequence[str], num_classes: int, path: Path
) -> dict[int, int]:
    """Return the model's class of each category: by name, without labels by the order of the numbers.

    COCO numbers its 80 categories from 1 to 90.
    """
    if not labels:
        if len(categories) != num_classes:
            raise InputError(
                f"reading the annotations {path}: {len(categories)} categories; the model has {num_classes} "
                "classes and no labels",
                hint="annotations of this model's data set, or a model with labels (import … --labels FILE)",
            )
        return {each.id: place for place, each in enumerate(sorted(categories, key=lambda each: each.id))}
    return {category.id: _class_of(category.name, labels, path) for category in categories}


def _class_of(name: str, labels: Sequence[str], where: Path) -> int:
    try:
        return labels.index(name)
    except ValueError:
        shown = ", ".join(labels[:5]) + (", …" if len(labels) > 5 else "")
        raise InputError(
            f"reading the annotations {where}: its category {name!r} is none of the model's labels ({shown})",
            hint="annotations of the data set that the model was trained for, with the labels' own names",
        ) from None


def _read_voc(path: Path, data: Path, labels: Sequence[str], num_classes: int) -> Annotations:
    if not labels:
        raise InputError(
            f"reading the list {path}: VOC annotations name their classes; the model has no labels",
            hint="import the model with its labels (--labels FILE)",
        )
    check_plain_file(path, "the list", hint=VOC_HINT, most_bytes=LIST_BYTES)
    pictures: list[TruePicture] = []
    for number, line in enumerate(read_lines(path, "the list", VOC_HINT), start=1):
        if not (text := line.strip(" \t")):
            continue
        entry = _VOC_ENTRY.fullmatch(text)
        if entry is None:
            raise InputError(
                f"reading the list {path}, line {number}: {text[:80]!r} is not a picture and its annotation",
                hint=VOC_HINT,
            )
        boxes = _read_voc_boxes(data / entry[2], labels)
        pictures.append(TruePicture(path=entry[1], image_id=len(pictures), boxes=boxes))
    return Annotations(pictures=tuple(pictures), category_ids=tuple(range(num_classes)), names=tuple(labels))


def _read_voc_boxes(path: Path, labels: Sequence[str]) -> tuple[TrueBox, ...]:
    content = read_bytes(path, "the annotation", hint=VOC_HINT)
    try:
        # expat 2.4 and later refuses documents whose entities grow without bounds.
        root = ElementTree.fromstring(content)  # noqa: S314
        return tuple(_voc_box(each, labels, path) for each in root.iterfind("object"))
    except (ElementTree.ParseError, ValueError, TypeError) as error:
        raise InputError(f"reading the annotation {path}: it is damaged: {error}", hint=VOC_HINT) from error


def _voc_box(element: ElementTree.Element, labels: Sequence[str], path: Path) -> TrueBox:
    def number(name: str) -> float:
        text = element.findtext(name)
        if text is None:
            raise ValueError(f"an object has no {name}")
        return float(text)

    corners = tuple(number(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax"))
    x0, y0, x1, y1 = corners
    if not (x0 <= x1 and y0 <= y1):  # NaN too
        raise ValueError(f"the box {list(corners)} ends before it begins")
    return TrueBox(
        class_id=_class_of((element.findtext("name") or "").strip(), labels, path),
        corners=(x0, y0, x1, y1),
        area=(x1 - x0) * (y1 - y0),
        difficult=(element.findtext("difficult") or "0").strip() == "1",
    )
