"""Published comparisons with networks of other families, drawn again with measured figures."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edgekit.core.artifact import is_random
from edgekit.core.spec import ModelSpec, Platform, PublishedLatency
from edgekit.report.grid import (
    FIGURES,
    MARK,
    MISSING,
    PLATFORM_NAMES,
    Table,
    cell,
    elsewhere,
    number,
    threads_words,
)
from edgekit.report.rows import Row
from edgekit.zoo.registry import list_models

PUBLISHED_ONLY = "published only"


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One published comparison table.

    Attributes:
        family: Family of the publication; measuring only its own networks compares nothing.
        circumstances: Machine and settings of the published latencies.
        figures: Columns before the latency, names of `grid.FIGURES`.
        models: Names of the rows' model cards, in the published order.
        printed: Published names of models, where they differ from the card's.
    """

    title: str
    source: str
    family: str
    platform: Platform
    circumstances: str
    figures: tuple[str, ...]
    models: tuple[str, ...]
    printed: dict[str, str]


COMPARISONS = (
    Comparison(
        title="PP-LCNet beside other networks",
        source="PaddleClas, docs/en/models/PP-LCNet_en.md, section 1.3.1",
        family="PP-LCNet",
        platform=Platform.INTEL_CPU,
        circumstances="an Intel CPU with MKLDNN; which one and how many threads is not said",
        figures=("params_m", "flops_m", "top1", "top5"),
        models=(
            "MobileNetV2_x0_25", "MobileNetV3_small_x0_35", "ShuffleNetV2_x0_33", "PPLCNet_x0_25",
            "MobileNetV2_x0_5", "MobileNetV3_large_x0_35", "ShuffleNetV2_x0_5", "PPLCNet_x0_5",
            "MobileNetV1", "MobileNetV2", "MobileNetV3_small_x1_25", "PPLCNet_x1_0",
        ),
        printed={"MobileNetV1": "MobileNetV1_x1_0", "MobileNetV2": "MobileNetV2_x1_0"},
    ),
    Comparison(
        title="PP-HGNet beside other networks",
        source="PaddleClas, docs/en/models/PP-HGNet_en.md, section 1.3",
        family="PP-HGNet",
        platform=Platform.V100,
        circumstances="NVIDIA Tesla V100 with TensorRT in FP32",
        figures=("top1", "top5"),
        models=(
            "ResNet34", "ResNet34_vd", "EfficientNetB0", "PPHGNet_tiny", "PPHGNet_tiny_ssld",
            "ResNet50", "ResNet50_vd", "ResNet50_rsb", "EfficientNetB1",
            "SwinTransformer_tiny_patch4_window7_224", "PPHGNet_small", "PPHGNet_small_ssld",
            "Res2Net200_vd_26w_4s_ssld", "ResNeXt101_32x48d_wsl",
            "SwinTransformer_base_patch4_window7_224", "PPHGNet_base_ssld",
        ),
        printed={
            "SwinTransformer_tiny_patch4_window7_224": "SwinTransformer_tiny",
            "SwinTransformer_base_patch4_window7_224": "SwinTransformer_base",
        },
    ),
)  # fmt: skip

Column = tuple[str, str, str | None, int, str | None, str | None]


def comparison_tables(rows: Sequence[Row]) -> list[Table]:
    """Return the published comparisons in which networks of other families were measured."""
    cards = {card.name: card for card in list_models()}
    measured = [row for row in rows if _compares(row)]
    tables = []
    for comparison in COMPARISONS:
        own = [row for row in measured if row.model in comparison.models]
        if any(cards[row.model].family != comparison.family for row in own):
            tables.append(_draw(comparison, own, cards))
    return tables


def _compares(row: Row) -> bool:
    """Return True for a point like the publications': single pictures in fp32, on no emulated target."""
    return row.batch_size == 1 and row.precision == "fp32" and not row.emulated


def _draw(comparison: Comparison, rows: Sequence[Row], cards: dict[str, ModelSpec]) -> Table:
    """Draw one comparison; among several results of one configuration the last counts."""
    columns = list(dict.fromkeys(_column(row) for row in rows))
    found = {(row.model, _column(row)): row for row in rows}
    measured = {row.model for row in rows}
    # Of a random network the published accuracy is not shown.
    hidden = {(row.model, name) for row in rows if is_random(row.weights) for name in ("top1", "top5")}
    lines = []
    for model in comparison.models:
        card, latency = cards[model], _published(cards[model], comparison.platform)
        absent = MISSING if model in measured else PUBLISHED_ONLY
        line = [comparison.printed.get(model, model)]
        figures = {name: getattr(card.published, name) for name in comparison.figures}
        line += [number(None if (model, name) in hidden else value) for name, value in figures.items()]
        line.append(MISSING if latency is None else number(latency.latency_ms, 2))
        line += [absent if (row := found.get((model, one))) is None else cell(row) for one in columns]
        lines.append(tuple(line))
    return Table(
        title=f"{comparison.title} ({comparison.source})",
        header=(
            "Model",
            *(FIGURES[name] for name in comparison.figures),
            f"published({PLATFORM_NAMES[comparison.platform.value]}, ms)",
            *(_heading(one, columns) for one in columns),
        ),
        rows=tuple(lines),
        notes=_notes(comparison, rows),
    )


def _column(row: Row) -> Column:
    return row.machine, row.engine, row.engine_version, row.requested_threads, row.power_mode, row.cores


def _heading(column: Column, of: Sequence[Column]) -> str:
    machine, engine, version, threads, power_mode, cores = column
    words = [machine] if len({one[0] for one in of}) > 1 else []
    words += [f"{engine} {version or ''}".strip(), threads_words(threads)]
    words += [power_mode] if power_mode else []
    words += [f"cores {cores}"] if cores else []
    return f"Latency(ms), {', '.join(words)}"


def _published(card: ModelSpec, platform: Platform) -> PublishedLatency | None:
    latencies = () if card.published is None else card.published.latencies
    return next((one for one in latencies if one.platform is platform and one.batch_size == 1), None)


def _notes(comparison: Comparison, rows: Sequence[Row]) -> tuple[str, ...]:
    machines = ", ".join(dict.fromkeys(row.machine for row in rows if row.processes))
    notes = [f"published: {comparison.circumstances}", f"measured: {machines or 'nothing'}"]
    if note := elsewhere(rows, comparison.platform.value):
        notes.append(note)
    notes += [
        f"{model}: random weights, so no published accuracy is shown"
        for model in dict.fromkeys(row.model for row in rows if is_random(row.weights))
    ]
    if any(row.verdict not in (None, "valid") for row in rows):
        notes.append(f"{MARK} not valid: the reasons stand with the tables above")
    return tuple(notes)
