"""YAML and JSON configurations as plain values: aliases, but no bombs, and labels as they are written."""

from __future__ import annotations

from typing import Any

import msgspec

from edgekit.convert.importing.place import Place
from edgekit.errors import ToolError

# Values after every alias is written out; an alias of aliases of aliases would be millions.
MAX_VALUES = 1_000_000
# Keys of labels, of which YAML would read `no`, `007` and `1.0` as something else than text.
_TEXTS = ("label_list", "labels", "label_0", "label_1")
_STRING = "tag:yaml.org,2002:str"


def load_document(content: bytes, place: Place) -> dict[object, object]:
    """Return the mapping of a YAML or JSON file.

    Raises:
        InputError: The file is damaged, nested too deep, refers to itself, or holds no mapping.
        ToolError: PyYAML is missing.
    """
    if place.path.suffix == ".json":
        try:
            document = msgspec.json.decode(content)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise place.refuse(str(error)) from error
    else:
        document = _load_yaml(content, place)
    if not isinstance(document, dict):
        raise place.refuse("it holds no sections")
    return document


def _load_yaml(content: bytes, place: Place) -> object:
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError as error:
        raise ToolError(
            f"reading {place.path}: PyYAML is not installed",
            hint="pip install pyyaml, or give TOML (--preprocess)",
        ) from error
    try:
        loader = yaml.SafeLoader(content)
        node = loader.get_single_node()
        if node is None:
            return None
        if _count(node, {}) > MAX_VALUES:
            raise place.refuse(f"its aliases stand for more than {MAX_VALUES} values")
        _keep_texts(node, set())
        return loader.construct_document(node)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise place.refuse(" ".join(str(error).split()) or type(error).__name__) from error


def _count(node: Any, counted: dict[int, int]) -> int:
    """Count the values below a node, aliases written out. Raises ValueError where a node contains itself."""
    known = counted.get(id(node))
    if known is not None:
        if known == 0:
            raise ValueError("an alias stands inside of what it names")
        return known
    counted[id(node)] = 0
    total = 1
    if isinstance(node.value, list):
        for each in node.value:
            total += sum(_count(one, counted) for one in (each if isinstance(each, tuple) else (each,)))
    counted[id(node)] = total
    return total


def _keep_texts(node: Any, seen: set[int]) -> None:
    """Make the labels strings, whatever YAML takes them for."""
    if id(node) in seen or not isinstance(node.value, list):
        return
    seen.add(id(node))
    for each in node.value:
        if not isinstance(each, tuple):
            _keep_texts(each, seen)
            continue
        key, value = each
        _keep_texts(value, seen)
        if key.value in _TEXTS:
            labels = value.value if isinstance(value.value, list) else [value]
            for label in (one[1] if isinstance(one, tuple) else one for one in labels):
                if isinstance(label.value, str):
                    label.tag = _STRING
