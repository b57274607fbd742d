"""A random network has no published accuracy beside it and no place in the accuracy plot."""

from __future__ import annotations

import msgspec

from edgekit.core.artifact import is_random
from edgekit.core.measurement import ArtifactRef, Point
from edgekit.report.plots import accuracy_plot
from edgekit.report.rows import result_rows
from edgekit.report.table import latency_table
from edgekit.report.tables import published_tables
from edgekit.report.text import as_text
from tests.points import point, process, result, samples


def measured(weights: str | None, **changes: object) -> Point:
    one = point(process(samples(3.0)), **changes)
    assert isinstance(one.artifact, ArtifactRef)
    return msgspec.structs.replace(one, artifact=msgspec.structs.replace(one.artifact, weights=weights))


def test_the_word_for_random_weights() -> None:
    assert is_random("random (seed 12)")
    assert not any(map(is_random, [None, "pretrained", "random.pdparams", "random (seed 0).onnx"]))


def test_no_published_accuracy_stands_beside_a_random_network() -> None:
    rows = result_rows([result(measured("random (seed 0)"), measured("pretrained", model="PPLCNet_x0_5"))])
    assert [row.top1 for row in rows] == [None, 63.14]
    assert [row.params_m is None for row in rows] == [False, False]
    text = as_text(published_tables(rows, published=True))
    assert "71.32" not in text and "63.14" in text
    assert "PPLCNet_x1_0: random weights, so no published accuracy is shown" in text
    assert "published Top-1(%)" in text
    assert accuracy_plot(rows[:1]) is None


def test_results_without_the_origin_of_the_weights_show_what_they_did() -> None:
    [row] = result_rows([result(measured(None))])
    assert (row.weights, row.top1) == (None, 71.32)


def test_options_stand_below_the_table() -> None:
    plain = point(process(samples(3.0)), engine="paddle")
    other = point(process(samples(4.0)), engine="paddle", engine_options={"onednn": "off"})
    text = latency_table(result(plain, other))
    head = text.split("\n\n")[1].splitlines()[1:3]
    assert "paddle (1)" in " ".join(head) and "onednn" not in " ".join(head)
    assert "\n(1) onednn=off" in text
