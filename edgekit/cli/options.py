"""Options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgekit._text import nearest

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

ANYWAY = "edgekit.anyway"
MOST = 1_000_000_000
# Precisions of artifacts.
PRECISIONS = ("fp32", "fp16", "int8")
F = TypeVar("F", bound=Callable[..., Any])


class Count(click.IntRange):
    """Click type: a whole number of at least `min` that any library's integers can hold."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        count: int = super().convert(value, param, ctx)
        if abs(count) > MOST:
            self.fail(f"{count:.3g} is more than {MOST}", param, ctx)
        return count


class Number(click.FloatRange):
    """Click type: a number within bounds; `nan` and `inf` are none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


class IntList(click.ParamType[tuple[int, ...]]):
    """Click type: `1,2,4` as a tuple of positive integers."""

    name = "INT,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{str(value)[:80]!r} is not a list of whole numbers like 1,2,4", param, ctx)
        if any(not 1 <= number <= MOST for number in numbers):
            self.fail(f"{value!r}: every number must be at least 1, at most {MOST}", param, ctx)
        return tuple(dict.fromkeys(numbers))


class WordList(click.ParamType[tuple[str, ...]]):
    """Click type: `a,b` as a tuple of words, restricted to `choices` where these are given."""

    name = "WORD,..."

    def __init__(self, choices: tuple[str, ...] | None = None) -> None:
        self.choices = choices

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        words = tuple(dict.fromkeys(part.strip() for part in str(value).split(",") if part.strip()))
        for word in words:
            if self.choices is not None and word not in self.choices:
                near = nearest(word, self.choices, 1)
                meant = f"; did you mean {near[0]}?" if near else ""
                self.fail(f"{word!r} is not one of {', '.join(self.choices)}{meant}", param, ctx)
        if not words:
            self.fail("the list is empty", param, ctx)
        return words

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        before, comma, last = incomplete.rpartition(",")
        fitting = [word for word in self.choices or () if word.startswith(last)]
        return [CompletionItem(f"{before}{comma}{word}") for word in fitting]


class InputShape(click.ParamType[tuple[int, int, int]]):
    """Click type: `3,224,224` as channels, height, width."""

    name = "C,H,W"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int, int]:
        sizes = str(value).split(",")
        if len(sizes) != 3 or not all(map(_is_size, sizes)):
            self.fail(f"{value!r} is not channels, height, width like 3,224,224", param, ctx)
        return int(sizes[0]), int(sizes[1]), int(sizes[2])


class NamedShape(click.ParamType[tuple[str, tuple[int, ...]]]):
    """Click type: `3,224,224`, or `image=1,3,640,640` for one of several, as name or none and sizes."""

    name = "[NAME=]SIZES"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, tuple[int, ...]]:
        name, _, sizes = str(value).rpartition("=")
        words = sizes.split(",")
        if not all(map(_is_size, words)):
            self.fail(f"{value!r} is no list of sizes like 3,224,224 or image=1,3,640,640", param, ctx)
        return name, tuple(map(int, words))


class Percentage(click.ParamType[float]):
    """Click type: `3%` as 0.03, greater than 0; without the sign 3 and 0.03 would be ambiguous."""

    name = "PERCENT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        from edgekit.core.units import parse_percentage

        share = parse_percentage(str(value))
        if share is None:
            self.fail(f"{value!r} is not a percentage like 3%", param, ctx)
        return share


class Celsius(click.ParamType[float]):
    """Click type: `37C` or `37` as 37.0 degrees Celsius."""

    name = "CELSIUS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        from edgekit.core.units import parse_celsius

        degrees = parse_celsius(str(value))
        if degrees is None:
            self.fail(f"{value!r} is not a temperature like 37C", param, ctx)
        return degrees


def _is_size(word: str) -> bool:
    """Return True for a whole number from 1 to 999,999,999."""
    return word.isdecimal() and len(word) < 10 and int(word) > 0


def json_option(function: F) -> F:
    """Add `--json`: one JSON document on stdout instead of a table."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")(function)


def making_options(*, output: str, force: str, no_verify: str) -> Callable[[F], F]:
    """Add the options of commands that make a model's artifacts; the arguments are help texts."""
    options = (
        click.option(
            "--formats",
            type=WordList(("paddle", "onnx", "nb", "mnn", "mnn-fp16", "ncnn", "ncnn-fp16")),
            default="paddle,onnx,nb",
            show_default=True,
            help="Artifacts to make from the Paddle model, which is always made; mnn and ncnn from ONNX.",
        ),
        click.option(
            "--nb-targets",
            type=WordList(("arm", "arm_fp16", "x86", "opencl")),
            help="Targets of .nb.  [default: arm, arm_fp16, x86]",
        ),
        click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), help=output),
        click.option("--force", is_flag=True, help=force),
        click.option(
            "--keep-failed",
            is_flag=True,
            help="Keep artifacts that fail their check, marked in the manifest.",
        ),
        click.option("--no-verify", is_flag=True, help=no_verify),
        no_install_option,
        json_option,
    )

    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


def lane_options(function: F) -> F:
    """Add `--threads`, `--batch-size` and `--workers`: how runners process pictures."""
    threads = click.option(
        "--threads", type=Count(1), default=1, show_default=True, help="Threads of each worker."
    )
    batch_size = click.option(
        "--batch-size",
        type=Count(1),
        help="Pictures a batch.  [default: 8, or the artifact's own]",
    )
    workers = click.option(
        "--workers", type=Count(1), help="Parallel workers.  [default: as many as cores allow]"
    )
    return threads(batch_size(workers(function)))


def precision_option(function: F) -> F:
    """Add `--precision`: that of the artifact to use."""
    return click.option(
        "--precision", type=click.Choice(PRECISIONS), default="fp32", show_default=True,
        help="Precision of the artifact.",
    )(function)  # fmt: skip


def no_install_option(function: F) -> F:
    """Add `--no-install`: a missing component is an error and is not installed."""
    return click.option(
        "--no-install", is_flag=True, help="Fail where a component is missing instead of installing it."
    )(function)


def trust_new_option(function: F) -> F:
    """Add `--trust-new`: a download may differ from the one whose hash was recorded at first use."""
    return click.option(
        "--trust-new", is_flag=True, help="Accept a file that is not the one of the first download."
    )(function)


def anyway_option(function: F, *, expose_value: bool = False) -> F:
    """Add `--anyway`: an artifact that failed its check is used; `find_subjects` takes the value."""
    return click.option(
        "--anyway",
        is_flag=True,
        expose_value=expose_value,
        callback=lambda ctx, _option, given: (ctx.meta.update({ANYWAY: given}), given)[1],
        help="Use an artifact although it failed its check (verify).",
    )(function)


def allow_mismatch_option(function: F) -> F:
    """Add `--allow-mismatch`: a `.nb` is pushed although opt's and the runtime's versions differ."""
    return click.option(
        "--allow-mismatch", is_flag=True, help="Push a .nb although opt and the device's runtime differ."
    )(function)


def named_device(_ctx: click.Context, _option: click.Parameter, given: Any) -> Any:
    """Return what `--device` was given, with names of virtual devices replaced by their addresses."""
    if not given:
        return given
    if given == "all":
        raise click.UsageError("--device all: this command runs on one device, name it")
    from edgekit.virtual.state import address_of

    return address_of(given) if isinstance(given, str) else tuple(map(address_of, given))


def device_option(function: F) -> F:
    """Add `--device`, repeatable."""
    return click.option(
        "--device",
        "devices",
        multiple=True,
        metavar="SERIAL",
        callback=named_device,
        help="adb serial, HOST:PORT, ssh://user@host, a virtual device's name, or all for what adb has; "
        "repeatable. "
        "Default: the one attached.",
    )(function)


def adb_server_option(function: F) -> F:
    """Add `--adb-server`, repeatable for a device lab."""
    return click.option(
        "--adb-server",
        "adb_servers",
        multiple=True,
        metavar="HOST:PORT",
        help="A remote adb server; repeatable.",
    )(function)
