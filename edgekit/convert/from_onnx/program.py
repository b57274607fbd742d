"""The Paddle program that is being written: operators, variables, parameters."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from edgekit.convert.from_onnx.program_file import TYPES, write_program
from edgekit.convert.from_onnx.values import Value, check_size, of_array
from edgekit.engines.paddle import last_reason
from edgekit.errors import ConversionError

_NAMES = {number: np.dtype(name) for name, number in TYPES.items()}
# Constants of up to so many bytes are compared, and written once.
_SMALL_BYTES = 4096
# oneDNN has layouts for so many, and Paddle uses it for whatever it can.
_MOST_DIMENSIONS = 6
_ANY_DIMENSIONS = {"reshape2", "squeeze2", "unsqueeze2", "flatten_contiguous_range", "assign"}

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
            raise ConversionError(f"Paddle rejects it as {kind}: {last_reason(error)}") from error
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
        fetched = self._fetched(outputs)
        renamed = dict(zip(self._inputs, input_names, strict=True))
        renamed.update(zip(fetched, output_names, strict=True))
        self._desc._set_version()
        self._core.save_op_version_info(self._desc)
        content = self._desc.serialize_to_string()
        whole, read = write_program(content, self._given, renamed, input_names, output_names)
        return whole, {name: value for name, value in self._parameters.items() if name in read}

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
