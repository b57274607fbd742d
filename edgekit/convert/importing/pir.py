"""Operators of a PIR program (`inference.json`) that paddle2onnx does not know, and their places."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgekit.convert.from_onnx.node import name_places

# paddle2onnx registers these of PIR's names under those of legacy programs.
_LEGACY_NAMES = {
    "add": "elementwise_add",
    "add_n": "sum",
    "all": "reduce_all",
    "any": "reduce_any",
    "arange": "range",
    "argmax": "arg_max",
    "argmin": "arg_min",
    "divide": "elementwise_div",
    "expand": "expand_v2",
    "flatten": "flatten_contiguous_range",
    "floor_divide": "elementwise_floordiv",
    "grid_sample": "grid_sampler",
    "hardsigmoid": "hard_sigmoid",
    "hardswish": "hard_swish",
    "matmul": "matmul_v2",
    "max": "reduce_max",
    "maximum": "elementwise_max",
    "mean": "reduce_mean",
    "min": "reduce_min",
    "minimum": "elementwise_min",
    "multiply": "elementwise_mul",
    "nonzero": "where_index",
    "numel": "size",
    "prod": "reduce_prod",
    "remainder": "elementwise_mod",
    "repeat_interleave_with_tensor_index": "repeat_interleave",
    "subtract": "elementwise_sub",
    "sum": "reduce_sum",
    "topk": "top_k_v2",
    "unsqueeze": "unsqueeze2",
}
# Inputs, outputs and control flow, for which paddle2onnx has no mapper.
_STRUCTURE = frozenset({"data", "feed", "fetch", "if", "print", "while"})
_OPERATORS = "1."
"""Prefix of the names of Paddle's operators in the file; parameters and combinations have others."""


def unknown_operators(model: Path, known: set[str]) -> dict[str, str]:
    """Return the places of operators that paddle2onnx does not know, by name.

    Args:
        model: `inference.json`.
        known: Names of operators that paddle2onnx lists for PIR.

    Returns:
        Nothing where the file is not what Paddle writes: the conversion itself says so.
    """
    try:
        operators = json.loads(model.read_bytes())["program"]["regions"][0]["blocks"][0]["ops"]
        unknown: dict[str, list[str]] = {}
        for index, operator in enumerate(operators):
            name = _name(operator)
            if name is not None and not {name, _LEGACY_NAMES.get(name, name)} & known:
                unknown.setdefault(name, []).append(_place(name, index, operator))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
    return {name: name_places(places) for name, places in sorted(unknown.items())}


def _name(operator: dict[str, Any]) -> str | None:
    """Return the name of one of Paddle's operators without the mark of in-place operators."""
    kind = operator["#"]
    if not kind.startswith(_OPERATORS):
        return None
    name: str = kind.removeprefix(_OPERATORS).removesuffix("_")
    return None if name in _STRUCTURE else name


def _place(name: str, index: int, operator: dict[str, Any]) -> str:
    layer = next((each["AT"]["D"] for each in operator["A"] if each["N"] == "struct_name"), None)
    inputs = ", ".join(f"%{each['%']}" for each in operator["I"])
    outputs = ", ".join(f"%{each['%']}" for each in operator["O"])
    return f"{name} at {index} ({inputs} -> {outputs})" + (f" in {layer}" if layer else "")
