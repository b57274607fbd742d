"""Exact figures of files and directories, for `compare --counts`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgekit._files import RESULT_BYTES, read_bytes
from edgekit.bench.results import is_another, load_result
from edgekit.convert.manifest import load_manifest
from edgekit.core.artifact import MANIFEST_NAME
from edgekit.errors import InputError
from edgekit.evaluate.documents import read_evaluation
from edgekit.judge.exact import Kind, Quantity, counts_of, sizes_of
from edgekit.tasks.truth.evaluation import Evaluation

# What a task's document calls its headline.
ACCURACIES = ("top1", "ap", "mean_iou", "mean_average_precision")


def read_quantities(place: Path) -> list[Quantity]:
    """Return the exact figures of a result file, a document of eval, a manifest, or a directory of such.

    Other JSON documents of a directory have none: a detector's boxes lie beside its accuracy.

    Raises:
        InputError: It is none of these, or has no exact figure.
    """
    found: list[Quantity] = []
    for path in sorted(place.glob("*.json")) if place.is_dir() else [place]:
        try:
            found += _read(path)
        except InputError:
            if path == place or not is_another(path):
                raise
    if not found:
        raise InputError(
            f"comparing {place}: it has no instruction counts, sizes or accuracies",
            hint="a result of a virtual device, a manifest.json, a document of eval, or a directory of these",
        )
    return found


def _read(path: Path) -> list[Quantity]:
    if path.name == MANIFEST_NAME:
        return sizes_of(load_manifest(path.parent))
    evaluation = read_evaluation(read_bytes(path, "the result", most_bytes=RESULT_BYTES))
    if evaluation is not None:
        return _accuracies(evaluation)
    return counts_of(load_result(path))


def _accuracies(evaluation: Evaluation) -> list[Quantity]:
    document = msgspec.to_builtins(evaluation)
    # Shares of one list say nothing about those of another.
    listed = f"on {Path(document['list_path']).name} ({document['list_sha256'][:8]})"
    found = []
    for route in document["routes"]:
        figures = {**route, **(route.get("figures") or {})}
        for name in ACCURACIES:
            figure = figures.get(name)
            # Top-1 has its interval beside it.
            value = figure.get("share") if isinstance(figure, dict) else figure
            if isinstance(value, float | int):
                subject = f"{document['model']}, {route['engine']} {route['precision']}, {name} {listed}"
                found.append(Quantity(subject=subject, kind=Kind.ACCURACY, value=value))
    return found
