"""TOML as text: the standard library reads it only, and what is written here is small and flat."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def encode_toml(document: Mapping[str, Any]) -> str:
    """A document of scalars, lists of scalars, and lists of such tables (written last).

    What is None is left out: TOML has no word for it.
    """
    tables = {name: value for name, value in document.items() if _is_tables(value)}
    lines = [
        f"{name} = {_value(value)}"
        for name, value in document.items()
        if name not in tables and value is not None
    ]
    for name, entries in tables.items():
        for entry in entries:
            lines += ["", f"[[{name}]]", *(f"{key} = {_value(value)}" for key, value in entry.items())]
    return "\n".join(lines) + "\n"


def _is_tables(value: object) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and isinstance(value[0], dict)


def _value(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    # JSON's strings, numbers and booleans are TOML's.
    return json.dumps(value)
