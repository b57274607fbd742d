"""`edgekit quantize`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import Number, WordList, anyway_option, json_option, no_install_option
from edgekit.cli.output import echo_json, echo_table, note
from edgekit.cli.targets import find_subject

if TYPE_CHECKING:
    from edgekit.quantize.quantize import Quantized, QuantizeResult
    from edgekit.quantize.speed import Speed

DIRECTORY = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.argument("name")
@click.option("--calibration", required=True, type=DIRECTORY, metavar="DIR",
              help="Pictures of the kind that the model will see; a hundred or more.")  # fmt: skip
@click.option("--held-back", type=DIRECTORY, metavar="DIR",
              help="Other pictures to measure on.  [default: a part of --calibration]")  # fmt: skip
@click.option("--list", "list_path", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Classes of the held-back pictures, `path label`: measures accuracy.")  # fmt: skip
@click.option("--formats", type=WordList(("onnx", "nb", "mnn")), default="onnx,nb", show_default=True,
              help="Artifacts to make.")  # fmt: skip
@click.option("--nb-targets", type=WordList(), default="arm", show_default=True,
              help="int8 computes nonsense on x86 and together with fp16: both are refused.")  # fmt: skip
@click.option("--max-drop", type=Number(0, 100), default=1.0, show_default=True,
              help="Percentage points that Top-1 may fall, or answers differ, interval and all.")  # fmt: skip
@click.option("--search", is_flag=True,
              help="Take of ranges, 7-bit weights and bias correction what is closest to float.")  # fmt: skip
@click.option("--keep-float", type=WordList(), metavar="auto|WEIGHTS,...",
              help="Layers that stay float, by name of weights; auto finds what breaks int8.")  # fmt: skip
@json_option
@anyway_option
@no_install_option
def command(
    name: str,
    calibration: Path,
    held_back: Path | None,
    list_path: Path | None,
    formats: tuple[str, ...],
    nb_targets: tuple[str, ...],
    max_drop: float,
    search: bool,
    keep_float: tuple[str, ...] | None,
    as_json: bool,
    no_install: bool,
) -> None:
    """Make int8 artifacts beside the float ones of the exported model NAME, and measure them at once.

    Where they are worse than --max-drop allows, or the held-back pictures are too few to tell, nothing is
    kept and the exit code is 9.
    """
    from edgekit._process import usable_cores
    from edgekit.quantize.quantize import QuantizeSettings, quantize_model

    subject = find_subject(name)
    settings = QuantizeSettings(
        calibration=calibration,
        held_back=held_back,
        list_path=list_path,
        formats=formats,
        nb_targets=nb_targets,
        search=search,
        keep_float=keep_float or (),
        max_drop=max_drop,
        workers=usable_cores(),
        install=not no_install,
    )
    result = quantize_model(subject, settings, tell=note)
    for message in result.passed_over:
        note(f"passed over: {message}")
    for one in result.artifacts:
        for doubt in () if one.speed is None else one.speed.doubts:
            note(f"{one.kind.value}, its latency: {doubt}")
    if as_json:
        echo_json(result)
    else:
        _render(result)


def _render(result: QuantizeResult) -> None:
    from edgekit.report.grid import facts

    title = f"{result.directory}: calibrated on {result.calibration_pictures} pictures, "
    title += f"measured on {result.held_back_pictures} others"
    rows = (
        (f"  {one.kind.value}", f"{_size(one)}{_accuracy(one)}{describe_speed(one.speed)}")
        for one in result.artifacts
    )
    echo_table(facts((*rows, *_found_rows(result)), title=title))


def _found_rows(result: QuantizeResult) -> Iterator[tuple[str, str]]:
    """Rows of the chosen settings and of the layers that stayed float."""
    if result.found is None:
        return
    recipe = result.found.recipe
    words = [f"ranges {recipe.ranges.value}"]
    words += ["bias correction"] * recipe.bias_correction + ["7-bit weights"] * recipe.reduce_range
    yield "  chosen", ", ".join(words)
    if recipe.kept_float:
        yield (
            "  float layers",
            f"{len(recipe.kept_float)} of {result.found.layers}: {', '.join(recipe.kept_float)}",
        )


def _size(one: Quantized) -> str:
    from edgekit.core.units import format_bytes

    return f"{format_bytes(one.size_bytes)}, {one.size_ratio:.2f} of float"


def _accuracy(one: Quantized) -> str:
    if one.agreement is None:
        return "; computes as paddle-int8; check it on a device with edgekit verify --device"
    same = "same Top-1 on" if one.counted == "pictures" else f"same {one.counted}:"
    text = f"; {same} {100 * one.agreement.share:.2f} % [{100 * one.agreement.low:.2f}, "
    text += f"{100 * one.agreement.high:.2f}]"
    if one.top1_drop is not None:
        text += f"; Top-1 drop {100 * one.top1_drop.drop:+.2f} points"
    return text


def describe_speed(speed: Speed | None) -> str:
    """Return both latencies and their ratio as the end of a line; empty where nothing was timed."""
    if speed is None:
        return ""
    from edgekit.core.units import format_ms

    ratio, int8_ns, float_ns = speed.ratio, speed.int8_ns.estimate, speed.float_ns.estimate
    verdict = f"{ratio.estimate:.2f} times the speed [{ratio.low:.2f}, {ratio.high:.2f}]"
    if ratio.high < 1:
        verdict = f"SLOWER than float here, {verdict}"
    return f"; {format_ms(int8_ns)} ms against float's {format_ms(float_ns)} ms: {verdict}"
