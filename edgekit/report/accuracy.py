"""Accuracy that `edgekit eval` measured, matched with points of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from edgekit.core.measurement import Point
from edgekit.core.spec import Precision


class MeasuredAccuracy(msgspec.Struct, frozen=True, kw_only=True):
    """Accuracy of one engine with one artifact.

    Attributes:
        artifact_sha256: Hash of the artifact's files, as in results of bench.
        figures: Figures by name, per cent; those of `edgekit.report.rows.ACCURACIES` have columns.
        pictures: Number of pictures that could be read.
        list_path: The labelled list.
    """

    model: str
    engine: str
    precision: Precision
    artifact_sha256: str
    pictures: int
    list_path: str
    figures: Mapping[str, float]


def find_accuracy(point: Point, measured: Sequence[MeasuredAccuracy]) -> MeasuredAccuracy | None:
    """Return the latest accuracy of the point's artifact, by the point's engine where that was evaluated.

    A point that never ran has no artifact; model and precision are compared instead.
    """
    if point.artifact is None:
        own = [one for one in measured if (one.model, one.precision) == (point.model, point.precision)]
    else:
        own = [one for one in measured if one.artifact_sha256 == point.artifact.sha256]
    by_its_engine = [one for one in own if one.engine == point.engine]
    return next(reversed(by_its_engine or own), None)
