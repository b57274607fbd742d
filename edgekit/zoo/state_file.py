"""Read weight files as arrays without executing their content.

A `.pdparams` is a pickle, and a pickle may call anything on loading. Here it may only fill the records of
this module, which replace numpy's constructors: numpy's trust their arguments, and a damaged file
can spoil numpy's own float32 for the rest of the process. Paddle itself is not imported.
"""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgekit._files import MODEL_BYTES, check_plain_file, read_bytes
from edgekit.errors import PADDLE_REMEDY, InputError, ToolError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    State = dict[str, NDArray[np.float32]]

# Paddle adds a table of its internal parameter names under this key.
_NAME_TABLE = "StructuredToParameterName@@"
# Paddle's name of a layer's parameter, and its exporter's of a bias.
_PARAMETER = re.compile(r"(\w+)_(\d+)\.([wb]_\d)")
_RESHAPED = re.compile(r"p2o\.pd_op\.reshape\.\d+\.0")
_HINT = "give a .pdparams file that paddle.save wrote from a network's state_dict()"


# An optimiser's state holds dictionaries in a dictionary; deeper ones could multiply without end.
_DEPTH = 2
_DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")


class _DType:
    """Replaces numpy.dtype: one of the plain numeric types."""

    def __init__(self, name: object, *_: object) -> None:
        if name not in _DTYPES:
            raise pickle.UnpicklingError(f"it has values of type {name!r} instead of numbers")
        self.name = str(name)
        self.byte_order = "="

    def __setstate__(self, state: Sequence[object]) -> None:
        # (version, byte order, subtype, names, fields, …); the last three are empty for plain types.
        if state[1] not in ("<", ">", "=", "|") or any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError("it has values of a compound type instead of numbers")
        self.byte_order = str(state[1])

    def decode(self, data: bytes, shape: Sequence[int], order: Literal["C", "F"]) -> NDArray[Any]:
        import numpy as np

        return np.frombuffer(data, f"{self.byte_order}{self.name}").reshape(tuple(shape), order=order)


class _Array:
    """Replaces numpy.ndarray; `value` is None until the state is set."""

    value: NDArray[Any] | None = None

    def __init__(self, *_: object) -> None:
        """Accept the placeholders type, shape and code that numpy's `_reconstruct` takes."""

    def __setstate__(self, state: tuple[int, Sequence[int], _DType, bool, bytes]) -> None:
        _, shape, dtype, fortran, data = state
        self.value = dtype.decode(data, shape, "F" if fortran else "C")


def _from_buffer(data: bytes, dtype: _DType, shape: Sequence[int], order: Literal["C", "F"]) -> _Array:
    array = _Array()
    array.value = dtype.decode(data, shape, order)
    return array


def _encode(text: str, encoding: str) -> bytes:
    """Encode text as latin1, the only encoding in which pickle protocol 2 writes bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it refers to the encoding {encoding!r}")
    return text.encode(encoding)


# All references of a state dict written by `paddle.save`, by old and new names of numpy's modules, with their
# replacements. Tensors that are not parameters are stored as the tuple (name, array).
_STAND_INS: dict[tuple[str, str], object] = {
    ("builtins", "tuple"): tuple,
    ("__builtin__", "tuple"): tuple,
    ("builtins", "bytearray"): bytearray,
    ("collections", "OrderedDict"): dict,
    ("_codecs", "encode"): _encode,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
}


# The pure-Python unpickler: the C unpickler allocates whatever size a damaged memo index asks for.
class _ArraysOnly(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}, which no weight file needs")
        return _STAND_INS[module, name]


def read_pdparams(path: Path) -> State:
    """Return a Paddle state dict as arrays by key.

    Raises:
        InputError: The file cannot be read, is damaged or no state dict, refers to code, or holds NaN.
    """
    check_plain_file(
        path, "the weights", hint="--weights takes pretrained, random or a .pdparams file",
        most_bytes=MODEL_BYTES,
    )  # fmt: skip
    return _as_state(_unpickle(path, "the weights", _HINT), path)


def read_saved(path: Path, what: str, hint: str) -> dict[str, Any]:
    """Return a dictionary that `paddle.save` wrote, of text, numbers, arrays and dictionaries of these.

    Raises:
        InputError: The file cannot be read, is damaged, or holds or refers to something else.
    """
    return {str(key): _plain(value, path, what, hint) for key, value in _unpickle(path, what, hint).items()}


def _unpickle(path: Path, what: str, hint: str) -> dict[Any, Any]:
    content = read_bytes(path, what, hint=hint, most_bytes=MODEL_BYTES)
    try:
        loaded = _ArraysOnly(io.BytesIO(content)).load()
    except MemoryError as error:
        raise InputError(f"reading {what} {path}: damaged (impossible sizes)", hint=hint) from error
    except Exception as error:  # a damaged pickle may raise anything
        detail = str(error) or type(error).__name__
        raise InputError(f"reading {what} {path}: no whole state dict: {detail}", hint=hint) from error
    if not isinstance(loaded, dict):
        raise InputError(
            f"reading {what} {path}: a {type(loaded).__name__} instead of a state dict", hint=hint
        )
    return loaded


def _plain(value: object, path: Path, what: str, hint: str, depth: int = 0) -> Any:
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], _Array):
        value = value[1]
    if isinstance(value, _Array) and value.value is not None:
        return value.value
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, dict) and depth < _DEPTH:
        return {str(key): _plain(one, path, what, hint, depth + 1) for key, one in value.items()}
    raise InputError(f"reading {what} {path}: it holds a {type(value).__name__}", hint=hint)


def _as_state(loaded: dict[Any, Any], path: Path) -> State:
    import numpy as np

    state: State = {}
    for key, value in loaded.items():
        if key == _NAME_TABLE:
            continue
        array = value[1] if isinstance(value, tuple) and len(value) == 2 else value
        if not isinstance(array, _Array) or array.value is None:
            raise InputError(
                f"reading the weights {path}: a {type(array).__name__} under {key!r} instead of numbers",
                hint=_HINT,
            )
        state[str(key)] = array.value.astype(np.float32)
    if not state:
        raise InputError(f"reading the weights {path}: the state dict is empty", hint=_HINT)
    check_finite(state, path)
    return state


def check_finite(state: State, path: Path) -> None:
    """Raise InputError for the first key with NaN or infinity."""
    import numpy as np

    for key, array in state.items():
        if not np.isfinite(array).all():
            raise InputError(
                f"reading the weights {path}: {key!r} holds NaN or infinity",
                hint="train again, or give another file",
            )


def read_onnx_state(path: Path, names: Mapping[str, str]) -> State:
    """Return the parameters of an ONNX model that Paddle exported, under the keys of the original network.

    Paddle numbers layers of a kind as they are made (`conv2d_7.w_0`, `batch_norm2d_7.w_1`). Numbers of
    layers that were made and dropped are missing, so a layer is matched by its rank among those of its kind.
    Newer exporters write biases of convolutions as reshaped constants (`p2o.pd_op.reshape.N.0`), in the order
    of the convolutions.

    Args:
        path: Path of the ONNX model.
        names: Paddle's names of the network's parameters by key of its state dict. The network made its
            layers in the order of the original.

    Raises:
        InputError: The file is no ONNX model, or has other layers than the network.
        ToolError: The onnx package is missing.
    """
    arrays = _onnx_constants(path)
    theirs, ours = _layers(arrays), _layers(names.values())
    for kind, numbers in ours.items():
        if len(theirs.get(kind, ())) != len(numbers):
            raise InputError(
                f"reading the weights {path}: it has {len(theirs.get(kind, ()))} layers {kind} with weights "
                f"instead of {len(numbers)}"
            )
    reshaped = iter(sorted((name for name in arrays if _RESHAPED.fullmatch(name)), key=_by_number))
    state: State = {}
    for key in sorted(names, key=lambda key: _by_number(names[key])):
        kind, number, parameter = _parts(names[key])
        name = f"{kind}_{theirs[kind][ours[kind].index(number)]}.{parameter}"
        if name not in arrays and (kind, parameter) == ("conv2d", "b_0"):
            name = next(reshaped, name)
        if name not in arrays:
            raise InputError(f"reading the weights {path}: no constant {name!r} for {key!r}")
        state[key] = arrays[name].reshape(-1) if _RESHAPED.fullmatch(name) else arrays[name]
    return state


def _onnx_constants(path: Path) -> State:
    """Return the initialisers and constants of an ONNX model by Paddle's names."""
    try:
        import onnx
    except ImportError as error:
        raise ToolError(
            f"reading the weights {path}: onnx cannot be imported ({error})",
            hint=PADDLE_REMEDY,
        ) from error
    content = read_bytes(path, "the weights", most_bytes=MODEL_BYTES)
    try:
        graph = onnx.load_model_from_string(content).graph
        tensors = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                tensors[node.output[0]] = node.attribute[0].t
        # Constant folding appends `_deepcopy_N` to Paddle's names.
        return {
            re.sub(r"_deepcopy_\d+$", "", name): onnx.numpy_helper.to_array(tensor)
            for name, tensor in tensors.items()
        }
    except Exception as error:  # protobuf's DecodeError, whose module is no dependency of ours
        raise InputError(f"reading the weights {path}: no ONNX model ({error})") from error


def _layers(names: Iterable[str]) -> dict[str, list[int]]:
    """Return the numbers of the layers that have weights by their kind, rising."""
    found: dict[str, set[int]] = {}
    for kind, number, parameter in map(_parts, names):
        if parameter == "w_0":
            found.setdefault(kind, set()).add(number)
    return {kind: sorted(numbers) for kind, numbers in found.items()}


def _parts(name: str) -> tuple[str, int, str]:
    """Return kind and number of the layer, and the parameter, e.g. `conv2d`, 7, `w_0`."""
    match = _PARAMETER.fullmatch(name)
    return ("", 0, name) if match is None else (match[1], int(match[2]), match[3])


def _by_number(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]
