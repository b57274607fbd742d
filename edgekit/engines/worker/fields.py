"""Fields of requests, read and checked: each raises RefusedError with the field's name."""

from typing import Any, Dict, List, Optional

from edgekit.engines.worker.engine import format_shape
from edgekit.engines.worker.refusal import RefusedError

# Names of the types that go through the protocol, as numpy spells them.
DTYPES = ("float32", "float16", "float64", "int64", "int32", "int8", "uint8", "bool")


def integer(request: Dict[str, Any], name: str, least: int, default: Optional[int] = None) -> int:
    value = request.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise RefusedError("request", "{}: {!r} is no integer from {} on".format(name, value, least))
    return value


def text(request: Dict[str, Any], name: str) -> str:
    value = request.get(name)
    if not isinstance(value, str) or not value:
        raise RefusedError("request", "{}: {!r} is no text".format(name, value))
    return value


def optional_text(request: Dict[str, Any], name: str) -> Optional[str]:
    return None if request.get(name) is None else text(request, name)


def tensors(request: Dict[str, Any], name: str) -> List[Dict[str, Any]]:
    value = request.get(name)
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        raise RefusedError("request", "{}: {!r} is no list of tensors".format(name, value))
    tensors = []
    for one in value:
        dtype = text(one, "dtype")
        if dtype not in DTYPES:
            raise RefusedError(
                "unsupported",
                "input {} as {}: runners know {}".format(one.get("name"), dtype, ", ".join(DTYPES)),
            )
        tensors.append({"name": text(one, "name"), "dtype": dtype, "shape": _shape(one.get("shape"), name)})
    return tensors


def shapes(request: Dict[str, Any], inputs: List[Dict[str, Any]]) -> List[List[int]]:
    """Return a shape for each loaded input; only their first sizes may differ from those of `load`."""
    value = request.get("shapes")
    if not isinstance(value, list) or len(value) != len(inputs):
        raise RefusedError("request", "shapes: {!r} is no list of {} shapes".format(value, len(inputs)))
    shapes = [_shape(one, "shapes") for one in value]
    for one, shape in zip(inputs, shapes):  # noqa: B905 (Python 3.10)
        if len(shape) != len(one["shape"]) or shape[1:] != one["shape"][1:]:
            raise RefusedError(
                "shape",
                "input {}: loaded for {}, given {}".format(
                    one["name"], format_shape(one["shape"]), format_shape(shape)
                ),
            )
    return shapes


def _shape(value: Any, name: str) -> List[int]:
    if not isinstance(value, list) or not all(type(size) is int and size > 0 for size in value):
        raise RefusedError("request", "{}: {!r} is no list of positive sizes".format(name, value))
    return value


def cores(request: Dict[str, Any]) -> Optional[List[int]]:
    value = request.get("cores")
    if value is not None and not (
        isinstance(value, list) and all(type(core) is int and core >= 0 for core in value)
    ):
        raise RefusedError("request", "cores: {!r} is no list of core numbers".format(value))
    return None if value is None else list(value)


def options(request: Dict[str, Any]) -> Dict[str, str]:
    value = request.get("options", {})
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise RefusedError("request", "options: {!r} is no object of texts".format(value))
    return value
