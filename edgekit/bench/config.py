"""`bench --config`: the options of a benchmark as TOML, for nightly runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from edgekit._files import read_bytes
from edgekit._text import nearest
from edgekit.core.bench_options import OPTIONS, FieldOption
from edgekit.core.units import parse_celsius, parse_percentage
from edgekit.errors import InputError

HINT = 'e.g.: host = true, engine = ["paddle", "onnxruntime"], threads = [1, 2]; edgekit bench --help'


def load_config(path: Path) -> dict[str, Any]:
    """Read a configuration and return its options by the field names of `BenchOptions`.

    Raises:
        InputError: It cannot be read, is no TOML, names no option of `bench`, or has a wrong value.
    """
    content = read_bytes(path, "the configuration", hint=HINT)
    try:
        document = msgspec.toml.decode(content)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InputError(f"reading the configuration {path}: {error}", hint=HINT) from error
    known = {one.name: one for one in OPTIONS}
    given = {}
    for name, value in document.items():
        if name not in known:
            close = nearest(name, known, 1)
            meant = f"; did you mean `{close[0]}`?" if close else ""
            raise InputError(
                f"reading the configuration {path}: bench has no option `{name}`{meant}", hint=HINT
            )
        try:
            given[known[name].field] = _value(known[name], value)
        except (msgspec.ValidationError, ValueError) as error:
            raise InputError(f"reading the configuration {path}: `{name}`: {error}", hint=HINT) from error
    return given


def _value(one: FieldOption, value: Any) -> Any:
    """Turn a TOML value into the type of its field; a list means the same as words separated by commas."""
    if one.option.percent:
        share = parse_percentage(value) if isinstance(value, str) else None
        if share is None:
            raise msgspec.ValidationError(f'{value!r} is not a percentage like "3%"')
        return share
    if one.option.celsius and isinstance(value, str):
        degrees = parse_celsius(value)
        if degrees is None:
            raise msgspec.ValidationError(f"{value!r} is not a temperature like 37C")
        return degrees
    if isinstance(one.default, tuple):
        if isinstance(value, str) and not one.option.repeated:
            value = [word.strip() for word in value.split(",")]
        elif not isinstance(value, list):
            value = [value]
    elif isinstance(value, list):
        value = ",".join(map(str, value))
    return msgspec.convert(value, one.type)
