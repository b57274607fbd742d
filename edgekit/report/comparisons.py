"""Published comparisons with networks of other families, drawn again with measured figures."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edgekit.core.artifact import is_random
from edgekit.core.spec import ModelSpec, Platform, Published, PublishedLatency
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
from edgekit.report.rows import ACCURACIES, Row
from edgekit.zoo.registry import find_cards

PUBLISHED_ONLY = "published only"


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One published comparison table.

    Attributes:
        family: Family of the publication; measuring only its own networks compares nothing. None where the
            table is drawn as soon as any of its models was measured.
        circumstances: Machine and settings of the published latencies.
        figures: Columns before the latency, names of `grid.FIGURES`.
        models: Names of the rows' model cards, in the published order.
        printed: Published names of models, where they differ from the card's.
        without_card: Figures of rows whose model has no card, by the name in `models`.
    """

    title: str
    source: str
    family: str | None = None
    platform: Platform
    circumstances: str
    figures: tuple[str, ...]
    models: tuple[str, ...]
    printed: dict[str, str]
    without_card: dict[str, Published] = {}


def _only_published(source: str, latency_ms: float, **accuracy: float) -> Published:
    """Return the figures of a row of PP-LCNet's tables of detectors and segmenters."""
    latency = PublishedLatency(platform=Platform.INTEL_CPU, latency_ms=latency_ms, source=source)
    return Published(source=source, latencies=(latency,), **accuracy)  # type: ignore[arg-type]


DETECTION = "PaddleClas, docs/en/models/PP-LCNet_en.md, section 1.3.2"
SEGMENTATION = "PaddleClas, docs/en/models/PP-LCNet_en.md, section 1.3.3"

BRIEFLY = "an Intel CPU with MKLDNN; which one, how many threads and which size of pictures is not said"

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
    Comparison(
        title="PicoDet on PP-LCNet beside MobileNetV3, COCO",
        source=DETECTION,
        platform=Platform.INTEL_CPU,
        circumstances=BRIEFLY,
        figures=("map",),
        models=(
            "PicoDet on MobileNetV3_large_x0_35", "PicoDet_LCNet_x0_5_320",
            "PicoDet on MobileNetV3_large_x0_75", "PicoDet_LCNet_x1_0_320",
        ),
        printed={
            "PicoDet_LCNet_x0_5_320": "PicoDet on PPLCNet_x0_5",
            "PicoDet_LCNet_x1_0_320": "PicoDet on PPLCNet_x1_0",
        },
        without_card={
            "PicoDet on MobileNetV3_large_x0_35": _only_published(DETECTION, 8.1, map=19.2),
            "PicoDet on MobileNetV3_large_x0_75": _only_published(DETECTION, 11.1, map=25.8),
        },
    ),
    Comparison(
        title="DeepLabV3+ on PP-LCNet beside MobileNetV3, Cityscapes",
        source=SEGMENTATION,
        platform=Platform.INTEL_CPU,
        circumstances=BRIEFLY,
        figures=("miou",),
        models=(
            "DeepLabV3+ on MobileNetV3_large_x0_5", "DeepLabV3P_PPLCNet_x0_5",
            "DeepLabV3+ on MobileNetV3_large_x0_75", "DeepLabV3P_PPLCNet_x1_0",
        ),
        printed={
            "DeepLabV3P_PPLCNet_x0_5": "DeepLabV3+ on PPLCNet_x0_5",
            "DeepLabV3P_PPLCNet_x1_0": "DeepLabV3+ on PPLCNet_x1_0",
        },
        without_card={
            "DeepLabV3+ on MobileNetV3_large_x0_5": _only_published(SEGMENTATION, 135, miou=55.42),
            "DeepLabV3+ on MobileNetV3_large_x0_75": _only_published(SEGMENTATION, 151, miou=64.53),
        },
    ),
)  # fmt: skip

Column = tuple[str, str, str | None, int, str | None, str | None]


def comparison_tables(rows: Sequence[Row]) -> list[Table]:
    """Return the published comparisons in which networks of other families, detectors or segmenters were
    measured.
    """
    measured = [row for row in rows if _compares(row)]
    tables = []
    for comparison in COMPARISONS:
        own = [row for row in measured if row.model in comparison.models]
        cards = find_cards(comparison.models) if own else {}
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
    hidden = {(row.model, name) for row in rows if is_random(row.weights) for name in ACCURACIES}
    evaluated = [
        name
        for name in (f"measured_{name}" for name in comparison.figures if name in ACCURACIES)
        if any(getattr(row, name) is not None for row in rows)
    ]
    lines = []
    for model in comparison.models:
        published = comparison.without_card.get(model) or cards[model].published
        latency = _published(published, comparison.platform)
        absent = MISSING if model in measured else PUBLISHED_ONLY
        line = [comparison.printed.get(model, model)]
        figures = {name: getattr(published, name, None) for name in comparison.figures}
        line += [number(None if (model, name) in hidden else value) for name, value in figures.items()]
        for name in evaluated:
            own = [value for row in rows if row.model == model and (value := getattr(row, name)) is not None]
            line.append(number(own[-1], 2) if own else MISSING)
        line.append(MISSING if latency is None else number(latency.latency_ms, 2))
        line += [absent if (row := found.get((model, one))) is None else cell(row) for one in columns]
        lines.append(tuple(line))
    return Table(
        title=f"{comparison.title} ({comparison.source})",
        header=(
            "Model",
            *(FIGURES[name] for name in (*comparison.figures, *evaluated)),
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


def _published(figures: Published | None, platform: Platform) -> PublishedLatency | None:
    latencies = () if figures is None else figures.latencies
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
