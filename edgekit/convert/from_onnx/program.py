"""The Paddle program that is being written: operators, variables, parameters."""

from __future__ import annotations

import hashlib
import math
import re
import struct
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.convert.from_onnx.values import Array, Value, check_size, of_array
from edgekit.errors import ConversionError

# paddle.framework.proto, VarType.Type
TYPES = {
    "bool": 0, "int16": 1, "int32": 2, "int64": 3, "float32": 5, "float64": 6, "uint8": 20, "int8": 21,
}  # fmt: skip
_NAMES = {number: np.dtype(name) for name, number in TYPES.items()}
_DENSE_TENSOR, _FEED, _FETCH = 7, 9, 10
# Constants of up to so many bytes are compared, and written once.
_SMALL_BYTES = 4096
# oneDNN has layouts for so many, and Paddle uses it for whatever it can.
_MOST_DIMENSIONS = 6
_ANY_DIMENSIONS = {"reshape2", "squeeze2", "unsqueeze2", "flatten_contiguous_range", "assign"}
_CALL_STACK = "op_callstack"

Inputs = Mapping[str, Value | Sequence[Value]]


class Program:
    """A legacy program with one block. Paddle itself infers every shape, and so checks every operator.

    Args:
        core: Paddle's `libpaddle`.

    Attributes:
        node: Place in the model of the node that is being written.
        places: Those places by Paddle's type of operator.
    """

    def __init__(self, core: Any) -> None:
        self._core = core
        self._desc = core.ProgramDesc()
        self._block = self._desc.block(0)
        self._count = 0
        self._parameters: dict[str, Value] = {}
        self._shared: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._given: list[dict[str, Any]] = []
        self._inputs: list[str] = []
        self._input_values: list[Value] = []
        self._read_names: set[str] = set()
        self.node = ""
        self.places: dict[str, list[str]] = {}

    def input(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Value:
        """Declare the next input."""
        name = self._new("x")
        self._declare(name, dtype, shape)
        self._inputs.append(name)
        self._input_values.append(Value(dtype, shape, variable=name))
        return self._input_values[-1]

    def constant(self, array: Any, dtype: str | np.dtype[Any] | None = None) -> Value:
        """A constant that is written when an operator reads it."""
        return of_array(np.asarray(array, dtype=dtype))

    def emit(
        self,
        kind: str,
        inputs: Inputs,
        attributes: Mapping[str, Any] | None = None,
        *,
        out: str = "Out",
        extra: Sequence[str] = (),
        same: Mapping[str, str] | None = None,
    ) -> Value:
        """Append an operator; returns what its slot `out` gives.

        Args:
            kind: Paddle's name of it.
            inputs: Tensors by slot.
            attributes: As Paddle calls them; those left out get Paddle's defaults.
            out: The slot of the result.
            extra: Slots of outputs that nobody reads.
            same: Slots of outputs that are the operator's own inputs.
        """
        slots = {out: 1, **dict.fromkeys(extra, 1)}
        return self.emit_all(kind, inputs, attributes, slots, same=same, unread=extra)[out][0]

    def emit_all(
        self,
        kind: str,
        inputs: Inputs,
        attributes: Mapping[str, Any] | None,
        outputs: Mapping[str, int],
        *,
        same: Mapping[str, str] | None = None,
        unread: Sequence[str] = (),
    ) -> dict[str, list[Value]]:
        """Append an operator with any number of outputs in each slot.

        Raises:
            ConversionError: Paddle rejects it.
        """
        reads = {
            slot: [self.variable(each) for each in ([given] if isinstance(given, Value) else given)]
            for slot, given in inputs.items()
        }
        self._read_names.update(name for names in reads.values() for name in names)
        op = self._block.append_op()
        op.set_type(kind)
        empty = [
            each for given in inputs.values() for each in ([given] if isinstance(given, Value) else given)
        ]
        if any(not each.size for each in empty):
            raise ConversionError(f"{kind} of a tensor without elements")
        for slot, names in reads.items():
            op.set_input(slot, names)
        written = {slot: [self._new("t") for _ in range(count)] for slot, count in outputs.items()}
        for slot, names in written.items():
            for name in names:
                variable = self._block.var(name.encode())
                variable.set_type(self._core.VarDesc.VarType.DENSE_TENSOR)
                # Of outputs that only training reads Paddle infers no type, and writes no file without one.
                variable.set_dtype(self._core.VarDesc.VarType.FP32)
            op.set_output(slot, names)
        for slot, name in (same or {}).items():
            op.set_output(slot, [name])
        given_attributes = dict(attributes or {})
        try:
            for name, value in given_attributes.items():
                self._set(op, kind, name, value)
            op.check_attrs()
            op.infer_var_type(self._block)
            op.infer_shape(self._block)
        except Exception as error:
            raise ConversionError(f"Paddle rejects it as {kind}: {last_line(error)}") from error
        self._given.append(given_attributes)
        places = self.places.setdefault(kind, [])
        if self.node not in places[-1:]:
            places.append(self.node)
        found = {
            slot: [self._read(name, kind) for name in names]
            for slot, names in written.items()
            if slot not in unread
        }
        for values in found.values():
            for value in values:
                value.made_by = (kind, dict(inputs), given_attributes)
        return found

    def batch_norm(self, inputs: Mapping[str, Value], attributes: Mapping[str, Any]) -> Value:
        """Batch norm at inference: Paddle wants its running statistics as outputs too."""
        op_inputs = {slot: self.variable(value) for slot, value in inputs.items()}
        outputs = {"MeanOut": op_inputs["Mean"], "VarianceOut": op_inputs["Variance"]}
        return self.emit(
            "batch_norm", inputs, attributes, out="Y", extra=["SavedMean", "SavedVariance"], same=outputs
        )

    def _read(self, name: str, kind: str) -> Value:
        variable = self._block.find_var(name.encode())
        shape = tuple(int(size) for size in variable.shape())
        number = int(variable.dtype())
        if number not in _NAMES:
            raise ConversionError(f"{kind} gives a type that edgekit does not know ({variable.dtype()})")
        if 0 in shape:
            raise ConversionError(f"{kind} gives a tensor without elements")
        if len(shape) > _MOST_DIMENSIONS and kind not in _ANY_DIMENSIONS:
            raise ConversionError(f"{kind} of {len(shape)} dimensions: Paddle computes {_MOST_DIMENSIONS}")
        if any(size < 0 for size in shape):
            raise ConversionError(f"the shape that {kind} gives is known only while it runs")
        check_size(shape, f"the tensor that {kind} gives")
        return Value(_NAMES[number], shape, variable=name)

    def variable(self, value: Value) -> str:
        """The name of a tensor in the program; a constant becomes a parameter."""
        if value.variable is not None:
            return value.variable
        if value.dtype.name not in TYPES:
            raise ConversionError(f"Paddle has no tensors of {value.dtype}")
        key = None
        if value.size * value.dtype.itemsize <= _SMALL_BYTES:
            content = np.ascontiguousarray(value.array()).tobytes()
            key = (value.dtype.name, value.shape, hashlib.sha256(content).digest())
            if key in self._shared:
                value.variable = self._shared[key]
                return self._shared[key]
        name = self._new("w")
        self._declare(name, value.dtype, value.shape).set_persistable(True)
        self._parameters[name] = value
        value.variable = name
        if key is not None:
            self._shared[key] = name
        return name

    def _new(self, letter: str) -> str:
        self._count += 1
        return f"{letter}{self._count}"

    def _declare(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Any:
        variable = self._block.var(name.encode())
        variable.set_type(self._core.VarDesc.VarType.DENSE_TENSOR)
        variable.set_dtype(self._core.VarDesc.VarType(TYPES[dtype.name]))
        variable.set_shape(list(shape))
        return variable

    @cached_property
    def _attribute_types(self) -> dict[str, dict[str, str]]:
        from paddle.base.proto import framework_pb2

        protos = [framework_pb2.OpProto.FromString(each) for each in self._core.get_all_op_protos()]
        name_of = framework_pb2.AttrType.Name
        return {each.type: {attr.name: name_of(attr.type) for attr in each.attrs} for each in protos}

    def _set(self, op: Any, kind: str, name: str, value: Any) -> None:
        declared = self._attribute_types.get(kind)
        if declared is None:
            raise ConversionError(f"this Paddle has no operator {kind}")
        setters: dict[str, tuple[Any, Any]] = {
            "INT": (op._set_int32_attr, int),
            "LONG": (op._set_int64_attr, int),
            "FLOAT": (op._set_float32_attr, float),
            "FLOAT64": (op._set_float64_attr, float),
            "BOOLEAN": (op._set_bool_attr, bool),
            "STRING": (op._set_str_attr, str),
            "INTS": (op._set_int32s_attr, list),
            "LONGS": (op._set_int64s_attr, list),
            "FLOATS": (op._set_float32s_attr, list),
            "SCALARS": (op._set_scalars_attr, lambda each: [self._core.Scalar(number) for number in each]),
            "SCALAR": (op._set_scalar_attr, self._core.Scalar if hasattr(self._core, "Scalar") else float),
        }
        if name in declared:
            setter, kind_of = setters[declared[name]]
            setter(name, kind_of(value))
        else:
            op._set_attr(name, value)

    def finish(
        self, outputs: Sequence[Value], input_names: Sequence[str], output_names: Sequence[str]
    ) -> tuple[bytes, dict[str, Value]]:
        """The serialised program, and its parameters by name.

        Args:
            outputs: The fetched tensors.
            input_names: New names of the inputs.
            output_names: New names of the outputs.
        """
        from paddle.base.proto import framework_pb2

        fetched = self._fetched(outputs)
        renamed = dict(zip(self._inputs, input_names, strict=True))
        renamed.update(zip(fetched, output_names, strict=True))
        self._desc._set_version()
        self._core.save_op_version_info(self._desc)
        message = framework_pb2.ProgramDesc.FromString(self._desc.serialize_to_string())
        block = message.blocks[0]
        for op, given in zip(block.ops, self._given, strict=True):
            _tidy(op, given, framework_pb2)
        _drop_unread(block, set(fetched))
        read = {name for op in block.ops for slot in op.inputs for name in slot.arguments}
        parameters = {name: value for name, value in self._parameters.items() if name in read}
        named = read | set(fetched) | set(self._inputs)
        named |= {name for op in block.ops for slot in op.outputs for name in slot.arguments}
        kept = [variable for variable in block.vars if variable.name in named]
        for variable in kept:
            variable.name = renamed.get(variable.name, variable.name)
        for op in block.ops:
            for slot in (*op.inputs, *op.outputs):
                names = [renamed.get(name, name) for name in slot.arguments]
                del slot.arguments[:]
                slot.arguments.extend(names)
        feeds = [_feed(name, column, framework_pb2) for column, name in enumerate(input_names)]
        fetches = [_fetch(name, column, framework_pb2) for column, name in enumerate(output_names)]
        ops = [*feeds, *block.ops, *fetches]
        # Every message is copied on extend, so the old ones can go first only after that.
        whole = framework_pb2.BlockDesc(idx=0, parent_idx=-1, ops=ops, vars=kept, forward_block_idx=-1)
        for name, number in (("feed", _FEED), ("fetch", _FETCH)):
            holder = whole.vars.add(name=name, persistable=True)
            holder.type.type = number
        block.CopyFrom(whole)
        return message.SerializeToString(deterministic=True), parameters

    def _fetched(self, outputs: Sequence[Value]) -> list[str]:
        """Variables of the outputs: each computed, none twice, none an input."""
        fetched: list[str] = []
        for value in outputs:
            if value.is_constant:
                value = self._given_value(value)
            elif value.variable in (*fetched, *self._inputs, *self._read_names):
                # Paddle's fusions ignore other readers of the tensors that they merge.
                value = self.emit("assign", {"X": value})
            assert value.variable is not None
            fetched.append(value.variable)
        return fetched

    def _given_value(self, value: Value) -> Value:
        """A constant as an output, made to depend on an input: Paddle fetches nothing else."""
        source = next((each for each in self._input_values if each.size), None)
        if source is None or not value.size:
            raise ConversionError("an output does not depend on the inputs")
        shape = {"shape": [-1 if source.rank else 1]}
        line = self.emit("reshape2", {"X": source}, shape, extra=["XShape"])
        first = {"axes": [0], "starts": [0], "ends": [1], "decrease_axis": [], "infer_flags": [1]}
        one = self.emit("slice", {"Input": line}, first)
        # No number is less than itself, and none that is not one.
        never = self.emit("less_than", {"X": one, "Y": one}, {"axis": -1})
        if value.dtype == np.bool_:
            return self.emit("logical_or", {"X": value, "Y": never})
        types = {"in_dtype": TYPES["bool"], "out_dtype": TYPES[value.dtype.name]}
        zero = self.emit("cast", {"X": never}, types)
        return self.emit("elementwise_add", {"X": value, "Y": zero}, {"axis": -1})


def _tidy(op: Any, given: Mapping[str, Any], pb: Any) -> None:
    """Drop what belongs to Python, and add the attributes that Paddle keeps out of its files."""
    kept = [each for each in op.attrs if each.name != _CALL_STACK]
    del op.attrs[:]
    op.attrs.extend(kept)
    present = {each.name for each in kept}
    for name, value in given.items():
        if name in present:
            continue
        attribute = op.attrs.add(name=name)
        if isinstance(value, bool):
            attribute.type, attribute.b = pb.BOOLEAN, value
        elif isinstance(value, int):
            attribute.type, attribute.i = pb.INT, value
        elif isinstance(value, float):
            attribute.type, attribute.f = pb.FLOAT, value
        elif isinstance(value, str):
            attribute.type, attribute.s = pb.STRING, value
        else:
            raise AssertionError(f"{op.type}: {name}")


def _drop_unread(block: Any, fetched: set[str]) -> None:
    """Drop operators whose results nobody reads: the parts of recognised patterns."""
    read = set(fetched)
    for index in reversed(range(len(block.ops))):
        op = block.ops[index]
        if any(name in read for slot in op.outputs for name in slot.arguments):
            read.update(name for slot in op.inputs for name in slot.arguments)
        else:
            del block.ops[index]


def _feed(name: str, column: int, pb: Any) -> Any:
    op = pb.OpDesc(type="feed")
    op.inputs.add(parameter="X", arguments=["feed"])
    op.outputs.add(parameter="Out", arguments=[name])
    op.attrs.add(name="col", type=pb.INT, i=column)
    return op


def _fetch(name: str, column: int, pb: Any) -> Any:
    op = pb.OpDesc(type="fetch")
    op.inputs.add(parameter="X", arguments=[name])
    op.outputs.add(parameter="Out", arguments=["fetch"])
    op.attrs.add(name="col", type=pb.INT, i=column)
    return op


def write_parameters(parameters: Mapping[str, Value], path: Path) -> None:
    """Write a `.pdiparams`: every tensor in the order of the names, as Paddle's `save_combine` does.

    The format is that of `SerializeToStream` in paddle/fluid/framework/lod_tensor.cc and tensor_util.cc:
    versions, no levels of detail, the tensor's description as a message, the numbers.
    """
    from paddle.base.proto import framework_pb2

    with path.open("wb") as file:
        for name in sorted(parameters):
            array: Array = np.ascontiguousarray(parameters[name].array())
            description = framework_pb2.VarType.TensorDesc(
                data_type=TYPES[array.dtype.name], dims=list(parameters[name].shape)
            ).SerializeToString()
            file.write(struct.pack("<IQIi", 0, 0, 0, len(description)))
            file.write(description)
            assert array.size == math.prod(parameters[name].shape)
            file.write(array.reshape(-1).view(np.uint8).data if array.size else b"")


def last_line(error: BaseException) -> str:
    """The reason in one of Paddle's messages, which are a C++ stack with hints and places around it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines if re.match(r"\(\w+\) |\w+Error:", line)]
    return (reasons or lines or [type(error).__name__])[-1][:300]
