"""`edgekit models`: the zoo."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from edgekit.cli.options import echo_json, json_option, note
from edgekit.core.spec import ModelSpec, Platform, Published, PublishedLatency

if TYPE_CHECKING:
    from rich.console import Console

    from edgekit.core.artifact import Manifest

MISSING = "-"
# Wide enough that nothing wraps where stdout is a file or a pipe.
PIPE_WIDTH = 200


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact directory under ./models that a model was exported to."""

    name: str
    directory: str
    source: str
    artifacts: tuple[str, ...]


class ModelLine(msgspec.Struct, frozen=True, kw_only=True):
    """One model in the output of `models list`."""

    name: str
    family: str
    summary: str
    num_classes: int
    params_m: float | None = None
    flops_m: float | None = None
    top1: float | None = None
    top5: float | None = None
    latencies: tuple[PublishedLatency, ...] = ()
    exported: tuple[Exported, ...] = ()


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """The output of `models show`."""

    card: ModelSpec
    exported: tuple[Exported, ...]


@click.group()
def command() -> None:
    """The zoo: what there is, with published figures."""


@command.command("list")
@json_option
def list_zoo(as_json: bool) -> None:
    """Every model with its published figures, and what is exported under ./models."""
    from edgekit.zoo.registry import list_models

    lines = _lines(list_models())
    if as_json:
        echo_json(lines)
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Model", no_wrap=True)
    for header in ("Params(M)", "FLOPs(M)", "Top-1(%)", "Top-5(%)", "Intel CPU(ms)"):
        table.add_column(header, justify="right")
    table.add_column("V100(ms)\nbs=1/4/8", justify="right")
    table.add_column("SD855(ms)\nthread=1/2/4", justify="right")
    table.add_column("Exported")
    for line in lines:
        table.add_row(
            line.name,
            _number(line.params_m, "g"),
            _number(line.flops_m, "g"),
            _number(line.top1, ".2f"),
            _number(line.top5, ".2f"),
            *(_latencies(line.latencies, platform) for platform in _COLUMNS),
            ", ".join(_short(each, line.name) for each in line.exported) or MISSING,
        )
    _console().print(table)


@command.command("show")
@click.argument("name")
@json_option
def show_model(name: str, as_json: bool) -> None:
    """Everything that the card of NAME (or a card's path, *.toml) says, with sources."""
    from edgekit.zoo.registry import find_model

    spec = find_model(name)
    exported = tuple(each for manifest, each in _exported() if manifest.model == spec.name)
    if as_json:
        echo_json(ModelCard(card=spec, exported=exported))
        return
    console = _console()
    console.print(_facts(spec, exported))
    if spec.published is not None and spec.published.latencies:
        console.print()
        console.print(_latency_table(spec.published))


_COLUMNS = (Platform.INTEL_CPU, Platform.V100, Platform.SD855)


def _lines(specs: tuple[ModelSpec, ...]) -> list[ModelLine]:
    """The zoo, then what lies under ./models without being of it."""
    found = _exported()
    lines = []
    for spec in specs:
        published = spec.published or Published(source="")
        lines.append(
            ModelLine(
                name=spec.name,
                family=spec.family,
                summary=spec.summary,
                num_classes=spec.num_classes,
                params_m=published.params_m,
                flops_m=published.flops_m,
                top1=published.top1,
                top5=published.top5,
                latencies=published.latencies,
                exported=tuple(each for manifest, each in found if manifest.model == spec.name),
            )
        )
    names = {spec.name for spec in specs}
    lines += [
        ModelLine(
            name=manifest.name,
            family=MISSING,
            summary=f"from {manifest.source}",
            num_classes=manifest.num_classes,
            exported=(each,),
        )
        for manifest, each in found
        if manifest.model not in names
    ]
    return lines


def _exported() -> list[tuple[Manifest, Exported]]:
    """The artifact directories under ./models.

    One with an unreadable manifest is named on stderr and left out.
    """
    from edgekit.convert.manifest import DEFAULT_ROOT, load_manifest
    from edgekit.core.artifact import MANIFEST_NAME
    from edgekit.errors import InputError

    found = []
    for path in sorted(Path(DEFAULT_ROOT).glob(f"*/{MANIFEST_NAME}")):
        try:
            manifest = load_manifest(path.parent)
        except InputError as error:
            note(f"warning: {error.message}")
            continue
        exported = Exported(
            name=manifest.name,
            directory=str(path.parent),
            source=manifest.source,
            artifacts=tuple(manifest.artifacts),
        )
        found.append((manifest, exported))
    return found


def _number(value: float | None, format_spec: str) -> str:
    return MISSING if value is None else format(value, format_spec)


def _latencies(latencies: tuple[PublishedLatency, ...], platform: Platform) -> str:
    return "/".join(f"{each.latency_ms:.2f}" for each in latencies if each.platform is platform) or MISSING


def _short(exported: Exported, model: str) -> str:
    kinds = " ".join(exported.artifacts)
    return kinds if exported.name == model else f"{exported.name}: {kinds}"


def _facts(spec: ModelSpec, exported: tuple[Exported, ...]) -> object:
    from rich.table import Table
    from rich.text import Text

    channels, height, width = spec.input_shape
    rows = [("Model", spec.name), ("Summary", spec.summary), ("Family", spec.family)]
    rows += [("Input", f"float32[N,{channels},{height},{width}]"), ("Classes", f"{spec.num_classes}")]
    rows += [("Labels", spec.labels), ("Preprocessing", _preprocessing(spec))]
    weights = spec.weights
    if weights.package is not None:
        rows.append(("Weights", f"{weights.package_file} of the package {weights.package}"))
    rows += [
        (title, address)
        for title, address in (("Weights", weights.pretrained_url), ("Inference", weights.inference_url))
        if address is not None
    ]
    published = spec.published
    if published is not None:
        size_source = published.size_source or published.source
        for title, value, source in (
            ("Params(M)", _number(published.params_m, "g"), size_source),
            ("FLOPs(M)", _number(published.flops_m, "g"), size_source),
            ("Top-1(%)", _number(published.top1, ".2f"), published.source),
            ("Top-5(%)", _number(published.top5, ".2f"), published.source),
        ):
            rows.append((title, f"{value}  ({source})" if value != MISSING else MISSING))
    rows += [("Exported", f"{each.directory}: {' '.join(each.artifacts)}") for each in exported]
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for title, value in rows:
        table.add_row(title, Text(value))
    return table


def _preprocessing(spec: ModelSpec) -> str:
    steps = spec.preprocess
    resize = (
        f"to {steps.crop_size}x{steps.crop_size}"
        if steps.resize_short is None
        else f"short side to {steps.resize_short}"
    )
    return (
        f"{steps.channel_order.value.upper()}, {resize} ({steps.interpolation.value}, "
        f"{steps.resize_backend.value}), centre crop {steps.crop_size}, "
        f"mean {list(steps.mean)}, std {list(steps.std)}"
    )


def _latency_table(published: Published) -> object:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in ("Published on", "Batch", "Threads"):
        table.add_column(header)
    table.add_column("Latency(ms)", justify="right")
    for header in ("Note", "Source"):
        table.add_column(header)
    for each in published.latencies:
        threads = MISSING if each.threads is None else str(each.threads)
        table.add_row(
            each.platform.value,
            str(each.batch_size),
            threads,
            f"{each.latency_ms:.2f}",
            each.note or "",
            each.source,
        )
    return table


def _console() -> Console:
    from rich.console import Console

    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)
