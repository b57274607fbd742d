"""A node of the graph as the functions of `operators` see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from edgekit.convert.from_onnx.values import Array, Value
from edgekit.errors import ConversionError

if TYPE_CHECKING:
    from edgekit.convert.from_onnx.program import Program

Converted = Value | Sequence[Value | None]
Function = Callable[["Node", "Program"], Converted]
TABLE: dict[str, Function] = {}
"""The function of every ONNX operator that can be said in Paddle's; filled by the modules of `operators`."""

_HINT = "replace the operator before the export, or leave Paddle out of it: edgekit has no other way for it"


def converts(*kinds: str) -> Callable[[Function], Function]:
    """Enter a function into the table."""

    def enter(function: Function) -> Function:
        for kind in kinds:
            assert kind not in TABLE, kind
            TABLE[kind] = function
        return function

    return enter


class Node:
    """One operator of the graph with its inputs.

    Args:
        proto: ONNX's message.
        inputs: One for each of the message's; None where an optional one is left out.
        opset: The version of ONNX's operators that the model is written in.
        readers: How often its first output is read, as an output of the graph too.
    """

    def __init__(self, proto: Any, inputs: Sequence[Value | None], opset: int, readers: int = 1) -> None:
        self.proto, self.inputs, self.opset, self.readers = proto, tuple(inputs), opset, readers
        self._attributes = {each.name: each for each in proto.attribute}

    @property
    def kind(self) -> str:
        return str(self.proto.op_type)

    def __getitem__(self, index: int) -> Value:
        """An input that has to be there."""
        value = self.get(index)
        if value is None:
            raise self.refused(f"its input {index} is missing")
        return value

    def get(self, index: int) -> Value | None:
        """An optional input."""
        return self.inputs[index] if index < len(self.inputs) else None

    def wants(self, index: int) -> bool:
        """Whether the graph names this output."""
        return index < len(self.proto.output) and bool(self.proto.output[index])

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute as a Python value, `default` where it is not given."""
        from onnx import helper

        found = self._attributes.get(name)
        if found is None:
            return default
        value = helper.get_attribute_value(found)
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        return list(value) if isinstance(value, (list, tuple)) or hasattr(value, "extend") else value

    def constant(self, index: int, what: str) -> Array:
        """The numbers of an input that Paddle takes as an attribute."""
        value = self[index]
        if not value.is_constant:
            raise self.refused(f"its {what} is computed while it runs, Paddle needs it beforehand")
        return value.array()

    def integers(self, name: str, index: int | None = None) -> list[int] | None:
        """Numbers that older opsets have as an attribute and newer ones as input; None where not given."""
        if name in self._attributes:
            value = self.attribute(name)
            return [int(each) for each in value] if isinstance(value, list) else [int(value)]
        if index is None or self.get(index) is None:
            return None
        return [int(each) for each in self.constant(index, name).reshape(-1)]

    def axis(self, default: int, rank: int, name: str = "axis") -> int:
        """The attribute `axis`, counted from the front."""
        return self.normal_axis(int(self.attribute(name, default)), rank)

    def normal_axis(self, axis: int, rank: int) -> int:
        """An axis counted from the front."""
        if not -rank <= axis < max(rank, 1):
            raise self.refused(f"axis {axis} of a tensor of rank {rank}")
        return axis + rank if axis < 0 else axis

    def refused(self, reason: str) -> ConversionError:
        """The error that names this node: operator, name, place."""
        return ConversionError(f"{self.place()}: {reason}", hint=_HINT)

    def place(self) -> str:
        return place(self.proto)


def place(proto: Any) -> str:
    """Where a node stands, for messages."""
    name = f" {proto.name}" if proto.name else ""
    kind = f"{proto.domain}.{proto.op_type}" if proto.domain not in ("", "ai.onnx") else proto.op_type
    return f"{kind}{name} ({', '.join(proto.input)} -> {', '.join(proto.output)})"[:300]


PLACES_SHOWN = 3


def name_places(places: Sequence[str]) -> str:
    """The first places in a graph, and how many more there are, for messages."""
    more = len(places) - PLACES_SHOWN
    return "; ".join(places[:PLACES_SHOWN]) + (f" and {more} more" if more > 0 else "")
