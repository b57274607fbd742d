"""`edgekit models`: the zoo."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from edgekit._text import nearest
from edgekit.cli.options import json_option
from edgekit.cli.output import echo_json, echo_table, note
from edgekit.core.artifact import ArtifactKind, Manifest
from edgekit.core.preprocess import Preprocess
from edgekit.core.spec import ModelSpec, Platform, Published, PublishedLatency
from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.report.grid import Table

MISSING = "-"


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """Artifact directory under ./models with an exported model."""

    name: str
    directory: str
    source: str
    artifacts: tuple[str, ...]


class ModelLine(msgspec.Struct, frozen=True, kw_only=True):
    """One model in the output of `models list`."""

    name: str
    family: str
    summary: str
    task: str
    num_classes: int
    params_m: float | None = None
    flops_m: float | None = None
    top1: float | None = None
    top5: float | None = None
    map: float | None = None
    map50: float | None = None
    miou: float | None = None
    latencies: tuple[PublishedLatency, ...] = ()
    exported: tuple[Exported, ...] = ()


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """The output of `models show` for a model of the zoo."""

    card: ModelSpec
    exported: tuple[Exported, ...]


class OwnModel(msgspec.Struct, frozen=True, kw_only=True):
    """The output of `models show` for an artifact directory whose model the zoo does not have.

    Attributes:
        params_m: Number of weights, millions.
        flops_m: Multiply-accumulates of one inference, millions; both counted from the program.
    """

    manifest: Manifest
    directory: str
    params_m: float | None
    flops_m: float | None


@click.group(invoke_without_command=True)
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write a page of all networks: figures, estimates, accuracy against latency.")  # fmt: skip
@click.pass_context
def command(context: click.Context, html: Path | None) -> None:
    """Show the models of the zoo, with published figures."""
    if html is not None and context.invoked_subcommand is not None:
        raise click.UsageError(f"--html shows the whole zoo: leave {context.invoked_subcommand} out")
    if html is not None:
        from edgekit._files import write_atomic
        from edgekit.pages.zoo import zoo_page

        write_atomic(html, zoo_page())
        note(f"{html} written")
    elif context.invoked_subcommand is None:
        click.echo(context.get_help())


@command.command("list")
@json_option
def list_zoo(as_json: bool) -> None:
    """List every model with its published figures, and the models exported under ./models."""
    from edgekit.zoo.registry import list_models

    lines = _lines(list_models())
    if as_json:
        echo_json(lines)
        return
    from edgekit.report.grid import Table

    figures = ("Params(M)", "FLOPs(M)", "Top-1(%)", "Top-5(%)", "mAP or\nmIoU(%)", "Intel CPU(ms)")
    header = ("Model", *figures, "V100(ms)\nbs=1/4/8", "SD855(ms)\nthread=1/2/4", "Exported")
    rows = tuple(
        (
            line.name,
            _number(line.params_m, "g"),
            _number(line.flops_m, "g"),
            _number(line.top1, ".2f"),
            _number(line.top5, ".2f"),
            _number(line.map if line.miou is None else line.miou, ".2f"),
            *(_latencies(line.latencies, platform) for platform in _COLUMNS),
            ", ".join(_short(each, line.name) for each in line.exported) or MISSING,
        )
        for line in lines
    )
    echo_table(Table(header=header, rows=rows, words=(0, len(header) - 1)))


@command.command("show")
@click.argument("name")
@json_option
def show_model(name: str, as_json: bool) -> None:
    """Show the whole card of NAME (or of a card's path, *.toml), with sources, or a model under ./models."""
    from edgekit.zoo.registry import CARD_SUFFIX, find_model, model_names

    if name not in model_names() and not name.endswith(CARD_SUFFIX):
        _show_own(name, as_json)
        return
    spec = find_model(name)
    exported = tuple(each for manifest, each in _exported() if manifest.model == spec.name)
    if as_json:
        echo_json(ModelCard(card=spec, exported=exported))
        return
    tables = [_facts(spec, exported)]
    if spec.published is not None and spec.published.latencies:
        tables.append(_latency_table(spec.published))
    echo_table(*tables)


def _show_own(name: str, as_json: bool) -> None:
    """Show an imported model, or a variant of one of the zoo's, out of its manifest."""
    from edgekit.convert.manifest import NoArtifactsError, find_artifacts
    from edgekit.report.grid import facts
    from edgekit.zoo.registry import model_names

    try:
        directory, manifest = find_artifacts(name)
    except NoArtifactsError as error:
        if "/" in name:
            raise
        near = nearest(name, {*model_names(), *(each.name for _, each in _exported())})
        raise InputError(
            f"looking up the model {name!r}: neither the zoo nor ./models has it",
            hint=f"did you mean {' or '.join(near)}? edgekit models show {shlex.quote(near[0])}"
            if near
            else "edgekit models list",
        ) from error
    params_m, flops_m, source = _counted(directory, manifest)
    if as_json:
        own = OwnModel(manifest=manifest, directory=str(directory), params_m=params_m, flops_m=flops_m)
        echo_json(own)
        return
    tensors = [
        (title, ", ".join(f"{each.name} {each.dtype}[{_sizes(each.shape)}]" for each in specs))
        for title, specs in (("Inputs", manifest.inputs), ("Outputs", manifest.outputs))
    ]
    failed = [kind.value for kind in ArtifactKind if manifest.failure(kind)]
    classifies = manifest.num_classes > 0
    rows: list[tuple[str, str | None]] = [
        ("Model", manifest.name),
        ("Network", manifest.model),
        ("Weights", manifest.source),
        *tensors,
        ("Classes", str(manifest.num_classes) if classifies else None),
        ("Labels", manifest.labels),
        ("Preprocessing", _preprocessing(manifest.preprocess) if classifies else None),
        ("Params(M)", f"{_number(params_m, 'g')}  ({source})"),
        ("FLOPs(M)", f"{_number(flops_m, 'g')}  ({source})"),
        ("Artifacts", f"{directory}: {' '.join(manifest.artifacts)}"),
        ("Failed", " ".join(failed) or None),
        ("Made by", manifest.command),
    ]
    echo_table(facts(rows))


def _counted(directory: Path, manifest: Manifest) -> tuple[float | None, float | None, str]:
    """Return millions of parameters and of multiply-accumulates, and what they were counted from."""
    from edgekit.convert.size import count_size
    from edgekit.errors import EdgekitError

    try:
        size = count_size(directory, manifest)
    except EdgekitError as error:
        return None, None, f"not counted: {error.message}"
    macs = size.multiply_accumulates
    millions = None if macs is None else round(macs / 1e6, 3)
    return round(size.parameters / 1e6, 3), millions, f"counted from {size.file}"


def _sizes(shape: tuple[int | None, ...]) -> str:
    return ",".join("N" if size is None else str(size) for size in shape)


_COLUMNS = (Platform.INTEL_CPU, Platform.V100, Platform.SD855)


def _lines(specs: tuple[ModelSpec, ...]) -> list[ModelLine]:
    """Return the models of the zoo, then exported models under ./models that the zoo lacks."""
    found = _exported()
    lines = []
    for spec in specs:
        published = spec.published or Published(source="")
        lines.append(
            ModelLine(
                name=spec.name,
                family=spec.family,
                summary=spec.summary,
                task=spec.task,
                num_classes=spec.num_classes,
                params_m=published.params_m,
                flops_m=published.flops_m,
                top1=published.top1,
                top5=published.top5,
                map=published.map,
                map50=published.map50,
                miou=published.miou,
                latencies=published.latencies,
                exported=tuple(each for manifest, each in found if manifest.model == spec.name),
            )
        )
    names = {spec.name for spec in specs}
    for manifest, each in found:
        if manifest.model not in names:
            params_m, flops_m, _ = _counted(Path(each.directory), manifest)
            lines.append(
                ModelLine(
                    name=manifest.name,
                    family=MISSING,
                    summary=f"from {manifest.source}",
                    task=manifest.task,
                    num_classes=manifest.num_classes,
                    params_m=params_m,
                    flops_m=flops_m,
                    exported=(each,),
                )
            )
    return lines


def _exported() -> list[tuple[Manifest, Exported]]:
    """Return the artifact directories under ./models.

    A directory with an unreadable manifest is named on stderr and left out.
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


def _facts(spec: ModelSpec, exported: tuple[Exported, ...]) -> Table:
    from edgekit.report.grid import facts

    channels, height, width = spec.input_shape
    rows = [("Model", spec.name), ("Summary", spec.summary), ("Family", spec.family)]
    rows += [("Input", f"float32[N,{channels},{height},{width}]"), ("Classes", f"{spec.num_classes}")]
    rows += [("Labels", spec.labels), ("Preprocessing", _preprocessing(spec.preprocess))]
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
            *_accuracies(spec.task, published),
        ):
            rows.append((title, f"{value}  ({source})" if value != MISSING else MISSING))
    rows += [("Exported", f"{each.directory}: {' '.join(each.artifacts)}") for each in exported]
    return facts(rows)


def _accuracies(task: str, published: Published) -> list[tuple[str, str, str]]:
    """Return the published accuracies that a task's models have: title, figure and source."""
    figures = {
        "detection": (("mAP(%)", published.map), ("mAP at IoU 0.5(%)", published.map50)),
        "segmentation": (("mIoU(%)", published.miou),),
    }.get(task, (("Top-1(%)", published.top1), ("Top-5(%)", published.top5)))
    return [(title, _number(value, ".2f"), published.source) for title, value in figures]


def _preprocessing(steps: Preprocess) -> str:
    from edgekit.core.preprocess import Crop, Pad

    texts = [steps.channel_order.value.upper()]
    for step in steps.geometry:
        if isinstance(step, Crop):
            texts.append(f"centre crop {_side(step.size)}")
            continue
        if isinstance(step, Pad):
            texts.append(f"padded to {_side(step.size)}")
            continue
        target = f"short side to {step.short}" if step.size is None else f"to {step.size[0]}x{step.size[1]}"
        if step.within is not None:
            target = f"short side to {step.within[0]}, long side to {step.within[1]} at most"
        texts.append(f"{target} ({step.interpolation.value}, {step.backend.value})")
    return ", ".join([*texts, f"mean {list(steps.mean)}", f"std {list(steps.std)}"])


def _side(size: tuple[int, int]) -> str:
    return str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"


def _latency_table(published: Published) -> Table:
    from edgekit.report.grid import Table

    rows = tuple(
        (
            each.platform.value,
            str(each.batch_size),
            MISSING if each.threads is None else str(each.threads),
            f"{each.latency_ms:.2f}",
            each.note or "",
            each.source,
        )
        for each in published.latencies
    )
    header = ("Published on", "Batch", "Threads", "Latency(ms)", "Note", "Source")
    return Table(header=header, rows=rows, words=(0, 4, 5))
