"""Walks the graph: known values are folded, every other node becomes operators of Paddle's."""

from __future__ import annotations

import collections
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from edgekit.convert.from_onnx import folding, graph, operators
from edgekit.convert.from_onnx.declared import input_type, weight
from edgekit.convert.from_onnx.functions import function_body
from edgekit.convert.from_onnx.inferring import Inferred, infer
from edgekit.convert.from_onnx.node import TABLE, Node, name_places, place
from edgekit.convert.from_onnx.program import Program
from edgekit.convert.from_onnx.program_file import write_parameters
from edgekit.convert.from_onnx.values import HALVES, Value, check_size, of_array
from edgekit.errors import ConversionError, EdgekitError, InputError

if TYPE_CHECKING:
    import onnx

# Names that mean nothing to Paddle.
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,63}")
_TAKEN = {"feed", "fetch"}
# Functions of ONNX's own operators that are made of functions, so deep at most.
_MOST_NESTED = 8

Environment = dict[str, Value]


class Converted(msgspec.Struct, frozen=True, kw_only=True):
    """The written program.

    Attributes:
        inputs: Names of the program's inputs, in the order of the ONNX.
        outputs: Names of its outputs, likewise.
        operators: Paddle's operators by type, with the places in the ONNX that they stand for.
        notes: Remarks for the user.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operators: dict[str, str]
    notes: tuple[str, ...] = ()


def convert_onnx(
    document: onnx.ModelProto,
    shapes: Mapping[str, tuple[int, ...]],
    prefix: Path,
    origin: str,
    *,
    core: Any,
) -> Converted:
    """Write `PREFIX.pdmodel` and `PREFIX.pdiparams`.

    Args:
        document: A model that `graph.check` has passed.
        shapes: Sizes of inputs by name, where the model leaves them free.
        prefix: The two files without their suffixes.
        origin: What messages call the model.
        core: Paddle's `libpaddle`.

    Raises:
        InputError: The model is damaged, or lies about its shapes.
        ConversionError: An operator cannot be said in Paddle's; it is named with its place.
    """
    try:
        walk = _Walk(graph.inlined(document), core, origin)
        return walk.run(shapes, prefix)
    except (InputError, ConversionError) as error:
        if error.message.startswith("importing "):
            raise
        raise type(error)(f"importing {origin}: {error.message}", hint=error.hint) from error


class _Walk:
    def __init__(self, document: Any, core: Any, origin: str) -> None:
        self._document, self._origin = document, origin
        self._opset = graph.opset_of(document, origin)
        self._program = Program(core)
        read = [name for node in document.graph.node for name in node.input]
        self._readers = collections.Counter([*read, *(each.name for each in document.graph.output)])
        operators.load()

    def run(self, shapes: Mapping[str, tuple[int, ...]], prefix: Path) -> Converted:
        document = self._document
        self._refuse_unknown(document.graph)
        values: Environment = {}
        for tensor in document.graph.initializer:
            values[tensor.name] = weight(tensor)
        for tensor in document.graph.sparse_initializer:
            proto = _constant_node(tensor)
            values[tensor.values.name] = of_array(folding.fold(Node(proto, [], self._opset), [])[0])
        inputs = graph.inputs_of(document)
        halves = False
        for each in inputs:
            dtype, shape = input_type(each, shapes)
            halves = halves or dtype.name in HALVES
            values[each.name] = self._program.input(
                np.dtype("float32") if dtype.name in HALVES else dtype, shape
            )
        self._nodes(document.graph.node, values)
        outputs = [values[each.name] for each in document.graph.output]
        input_names = _plain_names([each.name for each in inputs], "x", set())
        output_names = _plain_names([each.name for each in document.graph.output], "y", set(input_names))
        content, parameters = self._program.finish(outputs, input_names, output_names)
        prefix.with_suffix(".pdmodel").write_bytes(content)
        write_parameters(parameters, prefix.with_suffix(".pdiparams"))
        notes = ("half floats are computed as float32",) if halves else ()
        return Converted(
            inputs=tuple(input_names),
            outputs=tuple(output_names),
            operators={kind: name_places(places) for kind, places in self._program.places.items()},
            notes=notes,
        )

    def _refuse_unknown(self, onnx_graph: Any) -> None:
        """All operators that no one knows, at once and before any work."""
        unknown = [node for node in onnx_graph.node if not self._is_known(node)]
        if unknown:
            kinds = sorted({place(node).partition(" ")[0] for node in unknown})
            raise ConversionError(
                f"importing {self._origin}: no Paddle operator is known for {', '.join(kinds)}: "
                f"{name_places([place(node) for node in unknown])}",
                hint="replace the operator before the export",
            )

    def _is_known(self, node: Any) -> bool:
        import onnx

        if not graph.is_own(node):
            return False
        if node.op_type in TABLE or node.op_type in ("If", "Constant", *folding.SHAPES_ONLY):
            return True
        try:
            schema = onnx.defs.get_schema(node.op_type, self._opset, "")
        except onnx.defs.SchemaError:
            return False
        # The other operators are known to ONNX Runtime and may be constant; the walk finds out.
        return schema is not None

    def _nodes(self, nodes: Any, values: Environment, depth: int = 0) -> None:
        for proto in nodes:
            readers = 1 if depth or not proto.output else self._readers[proto.output[0]]
            node = Node(proto, [values[name] if name else None for name in proto.input], self._opset, readers)
            if not depth:
                self._program.node = node.place()
            try:
                results = self._node(node, values, depth)
            except EdgekitError as error:
                if error.message.startswith(("importing ", node.place())) or depth:
                    raise
                raise type(error)(f"{node.place()}: {error.message}", hint=error.hint) from error
            for name, value in zip(proto.output, results):  # noqa: B905 (optional outputs may be left out)
                if name:
                    if value is None:
                        raise node.refused(f"its output {name!r} has no counterpart in Paddle")
                    values[name] = value
            missing = [name for name in proto.output if name and name not in values]
            if missing:
                raise node.refused(f"its output {missing[0]!r} has no counterpart in Paddle")

    def _node(self, node: Node, values: Environment, depth: int) -> list[Value | None]:
        if node.kind == "If" and graph.is_own(node.proto):
            return self._branch(node, values, depth)
        if any(each.HasField("g") or each.graphs for each in node.proto.attribute):
            raise node.refused("edgekit converts no subgraphs")
        if node.kind in folding.SHAPES_ONLY:
            return [_of_shape(node)]
        known = all(value is None or value.is_constant for value in node.inputs)
        inferred = infer(node, strict=not known)
        shapes = [None if each is None else each[1] for each in inferred]
        if known and node.kind not in folding.RANDOM:
            return [None if each is None else of_array(each) for each in folding.fold(node, shapes)]
        for each in shapes:
            if each is not None:
                check_size(each, f"{node.place()}: its result")
        if all(each is not None and each[0] is not None and 0 in (each[1] or ()) for each in inferred):
            return [of_array(np.zeros(each[1] or (), each[0])) for each in inferred if each is not None]
        function = TABLE.get(node.kind)
        if function is not None:
            results = function(node, self._program)
            found = [results] if isinstance(results, Value) else list(results)
            return [self._as_inferred(node, *pair) for pair in zip(found, [*inferred, *[None] * len(found)])]  # noqa: B905
        return self._expand(node, depth)

    def _as_inferred(
        self,
        node: Node,
        value: Value | None,
        inferred: Inferred | None,
    ) -> Value | None:
        """Compare type and shape of each written tensor with ONNX's own inference."""
        if value is None or inferred is None:
            return value
        dtype, shape = inferred
        if shape is not None and shape != value.shape:
            raise node.refused(f"Paddle's result would be {list(value.shape)}, ONNX's is {list(shape)}")
        if dtype is not None and dtype != value.dtype:
            raise node.refused(f"Paddle's result would be {value.dtype}, ONNX's is {dtype}")
        return value

    def _branch(self, node: Node, values: Environment, depth: int) -> list[Value | None]:
        """The branch of an If whose condition is known."""
        condition = node[0]
        if not condition.is_constant:
            raise node.refused("its condition is known only while it runs")
        taken = "then_branch" if bool(condition.array().reshape(-1)[0]) else "else_branch"
        branch = next(each.g for each in node.proto.attribute if each.name == taken)
        inner = dict(values)
        for tensor in branch.initializer:
            inner[tensor.name] = weight(tensor)
        self._nodes(branch.node, inner, depth)
        return [inner[each.name] for each in branch.output]

    def _expand(self, node: Node, depth: int) -> list[Value | None]:
        """An operator that ONNX itself defines by others."""
        body = function_body(node) if depth < _MOST_NESTED else None
        if body is None:
            raise node.refused("no Paddle operator is known for it")
        nodes, inputs, outputs = body
        given = zip(inputs, node.inputs, strict=False)  # the last may be left out
        inner: Environment = {name: value for name, value in given if value is not None}
        for proto in nodes:
            # An input of the function that the node leaves out.
            for index, name in enumerate(proto.input):
                if name in inputs and name not in inner:
                    proto.input[index] = ""
        self._nodes(nodes, inner, depth + 1)
        return [inner.get(name) for name in outputs]


def _constant_node(tensor: Any) -> Any:
    from onnx import helper

    return helper.make_node("Constant", [], ["value"], sparse_value=tensor)


def _of_shape(node: Node) -> Value:
    shape = node[0].shape
    if node.kind == "Size":
        return of_array(np.asarray(node[0].size, dtype=np.int64))
    start, end = int(node.attribute("start", 0)), node.attribute("end")
    return of_array(np.asarray(shape[start : None if end is None else int(end)], dtype=np.int64))


def _plain_names(names: list[str], letter: str, taken: set[str]) -> list[str]:
    """The names themselves where they are plain and new, others numbered."""
    used = set(taken) | _TAKEN
    chosen = []
    for index, name in enumerate(names):
        if not _PLAIN.fullmatch(name) or name in used or re.fullmatch(r"[twx]\d+", name):
            name = f"{letter}_{index}"
            while name in used:
                name += "_"
        used.add(name)
        chosen.append(name)
    return chosen
