"""Bench's options as click's declarations, made from the record `BenchOptions`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from msgspec import inspect

from edgekit.cli.options import (
    Celsius,
    Count,
    IntList,
    Number,
    Percentage,
    WordList,
    adb_server_option,
    allow_mismatch_option,
    anyway_option,
    device_option,
    no_install_option,
)
from edgekit.cli.targets import engine_list, engine_option_list, parse_engine_options
from edgekit.core.bench_options import OPTIONS, FieldOption

F = TypeVar("F", bound=Callable[..., Any])

# Options that several commands share and declare once.
SHARED: dict[str, Callable[[Any], Any]] = {
    "devices": device_option,
    "adb_servers": adb_server_option,
    "allow_mismatch": allow_mismatch_option,
    "no_install": no_install_option,
    "anyway": functools.partial(anyway_option, expose_value=True),
}


def bench_options(function: F) -> F:
    """Declare every option of the record in its order; parameters have the names of its fields."""
    for one in reversed(OPTIONS):
        function = _declared(one)(function)
    return function


def given_options(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options given on the command line, by field and in the record's types."""
    given = {}
    for one in OPTIONS:
        value = parameters[one.field]
        if value is None or value is False or value == ():
            continue
        if isinstance(one.default, dict):
            value = parse_engine_options(value)
        elif isinstance(value, Path):
            value = str(value)
        try:
            given[one.field] = msgspec.convert(value, one.type)
        except msgspec.ValidationError as error:
            raise click.UsageError(f"--{one.name} {parameters[one.field]}: {error}") from error
    return given


def _declared(one: FieldOption) -> Callable[[F], F]:
    option = one.option
    if option.argument:
        return click.argument(one.field, nargs=-1, metavar="[NAME]...")
    if option.help is None:
        return SHARED[one.field]
    if isinstance(one.default, bool):
        return click.option(f"--{one.name}", one.field, is_flag=True, help=option.help)
    flags = (f"--{one.name}",) if option.short is None else (option.short, f"--{one.name}")
    return click.option(
        *flags, one.field, type=_type(one), multiple=option.repeated, metavar=option.metavar,
        help=_help(one) + _shown_default(one),
    )  # fmt: skip


def _help(one: FieldOption) -> str:
    """Return the record's help with facts from the registry of engines, which the record must not import."""
    known: dict[str, Callable[[], str]] = {
        "engines": partial(engine_list, host=True, device=True),
        "engine_options": engine_option_list,
    }
    listed = known.get(one.field)
    return f"{one.option.help}: {listed()}." if listed is not None else str(one.option.help)


def _type(one: FieldOption) -> click.ParamType[Any]:
    """Return click's type for a field."""
    kind = inspect.type_info(one.type)
    if isinstance(kind, inspect.Metadata):
        kind = kind.type
    if isinstance(kind, inspect.UnionType):
        kind = next(each for each in kind.types if not isinstance(each, inspect.NoneType))
    if one.option.percent:
        return Percentage()
    if one.option.celsius:
        return Celsius()
    if one.option.path:
        return click.Path(path_type=Path, dir_okay=False)
    if isinstance(kind, inspect.VarTupleType):
        item = kind.item_type
        if isinstance(item, inspect.IntType):
            return IntList()
        choices = tuple(each.value for each in item.cls) if isinstance(item, inspect.EnumType) else None
        return WordList(choices)
    if isinstance(kind, inspect.IntType):
        return Count(kind.ge)
    if isinstance(kind, inspect.FloatType):
        return Number(kind.ge if kind.gt is None else kind.gt, min_open=kind.gt is not None)
    return click.STRING


def _shown_default(one: FieldOption) -> str:
    """Return the field's default, or a device's, as the end of its help; empty where there is none."""
    shown = one.option.shown
    if shown is None:
        default = one.default or one.option.default
        values = default if isinstance(default, tuple) else (default,) if default else ()
        shown = ",".join(
            f"{value:g}" if isinstance(value, float) else str(getattr(value, "value", value))
            for value in values
        )
    return f"  [default: {shown}]" if shown else ""
