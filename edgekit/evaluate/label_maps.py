"""Mean intersection over union of a segmentation model's artifacts, in one pass over the pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit.core.artifact import Manifest
from edgekit.core.measurement import ArtifactRef
from edgekit.core.spec import Precision
from edgekit.errors import EdgekitError, InputError
from edgekit.evaluate.journal import Journal
from edgekit.evaluate.tally import Evaluation, readable, reference_index
from edgekit.predict.lanes import Route, Scored
from edgekit.tasks.segmentation import Segmentation
from edgekit.vision.label_maps import LabelMapScore, count_areas, read_label_map, score_areas
from edgekit.vision.lines import read_lines
from edgekit.vision.lists import check_list

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LABEL_MAP_EVAL_SCHEMA_VERSION = 1
HINT = "one picture a line: its path below --data, a space, and the path of its label map, a PNG"
Areas = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Right, found and true pixels by class."""


class SeenAreas(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Result of one picture: by route its pixels by class, or its error."""

    areas: tuple[Areas, ...] = ()
    error: str | None = None


class LabelMapRoute(msgspec.Struct, frozen=True, kw_only=True):
    """Score of one engine on one artifact.

    Attributes:
        figures: PaddleSeg's figures.
        mean_iou_drop: How far `figures.mean_iou` lies below the reference's; None without a reference and
            for the reference itself.
    """

    engine: str
    precision: Precision
    artifact: ArtifactRef
    figures: LabelMapScore
    mean_iou_drop: float | None


class LabelMapEvalResult(Evaluation, frozen=True, kw_only=True):
    """Document that `eval` writes for a segmentation model.

    Attributes:
        classes: Names of the classes, in the order of `figures.class_iou`; empty without labels.
    """

    task: str
    classes: tuple[str, ...]
    routes: tuple[LabelMapRoute, ...]


def read_pairs(path: Path, data: Path) -> dict[str, Path]:
    """Return the label map of each picture of PaddleSeg's lists, by the picture's path as written.

    Raises:
        InputError: The list cannot be read, is empty, names a picture twice, or a line has no two paths.
    """
    check_list(path)
    pairs: dict[str, Path] = {}
    for number, line in enumerate(read_lines(path, "the list", HINT), start=1):
        words = line.split("\t") if "\t" in line else line.split()
        if not words:
            continue
        if len(words) != 2 or words[0] in pairs:
            what = "a picture a second time" if len(words) == 2 else "not a picture and its label map"
            raise InputError(f"reading the list {path}, line {number}: {line[:80]!r} is {what}", hint=HINT)
        pairs[words[0]] = data / words[1]
    if not pairs:
        raise InputError(f"reading the list {path}: it is empty", hint=HINT)
    return pairs


def see_areas(scored: Scored, task: Segmentation, truth: Mapping[str, Path]) -> Iterator[SeenAreas]:
    """Yield the results of a batch, one for each item, in order.

    Args:
        scored: The batch with its outputs.
        task: The model's task.
        truth: Label map of each picture, by the picture's name.

    Raises:
        InputError: A label map is missing, of another size, or of other classes.
    """
    by_route = [task.label_maps(outputs, scored.pictures) for outputs in scored.outputs]
    classes = task.manifest.num_classes
    for row in scored.rows():
        if isinstance(row, EdgekitError):
            yield SeenAreas(error=row.message)
            continue
        picture = scored.pictures[row]
        true = read_label_map(truth[picture.name], (picture.height, picture.width), classes)
        counted = [count_areas(maps[row], true, classes) for maps in by_route]
        yield SeenAreas(areas=tuple(msgspec.convert(each.tolist(), Areas) for each in counted))


def tally_areas(
    journal: Journal[SeenAreas], routes: Sequence[Route], manifest: Manifest, labels: Sequence[str]
) -> dict[str, Any]:
    """Return the fields of `LabelMapEvalResult` that follow from a complete journal.

    Raises:
        NothingReadError: No picture could be read.
        InputError: No pixel of the label maps counts.
    """
    import numpy as np

    sums: NDArray[np.int64] = np.zeros((len(routes), 3, manifest.num_classes), np.int64)
    pictures, errors = 0, []
    for seen in journal.read():
        if seen.error is not None:
            errors.append(seen.error)
            continue
        sums += np.array(seen.areas, np.int64)
        pictures += 1
    counts = readable(pictures, len(errors), errors[0] if errors else None)
    figures = [score_areas(each) for each in sums]
    reference = reference_index(routes, manifest)
    return {
        **counts,
        "classes": tuple(labels),
        "routes": tuple(
            LabelMapRoute(
                engine=route.engine,
                precision=route.precision,
                artifact=ArtifactRef.to(route.artifact, manifest),
                figures=figures[index],
                mean_iou_drop=None
                if reference is None or index == reference
                else figures[reference].mean_iou - figures[index].mean_iou,
            )
            for index, route in enumerate(routes)
        ),
    }
