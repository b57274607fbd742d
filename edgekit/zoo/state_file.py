"""Weight files as arrays, without running what they contain.

A `.pdparams` is a pickle, and a pickle may call anything on loading; here only what numpy arrays are made
of may be called, so a file from anywhere is safe to open. Paddle itself need not be imported.
"""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit._files import read_bytes
from edgekit.errors import InputError, ToolError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    State = dict[str, NDArray[np.float32]]

# All that `paddle.save` of a state dict refers to, by old and new names of numpy's modules. `builtins.tuple`
# comes from tensors (Paddle reduces them to `(name, array)`), `_codecs.encode` from pickle protocol 2.
_ALLOWED = {
    ("builtins", "tuple"),
    ("__builtin__", "tuple"),
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    *(
        (f"numpy.{core}.{module}", name)
        for core in ("core", "_core")
        for module, name in (
            ("multiarray", "_reconstruct"),
            ("multiarray", "scalar"),
            ("numeric", "_frombuffer"),
        )
    ),
}
# Paddle adds a table of its internal parameter names under this key.
_NAME_TABLE = "StructuredToParameterName@@"
_HINT = "give a .pdparams file that paddle.save wrote from a network's state_dict()"


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}, which no weight file needs")
        return super().find_class(module, name)


def read_pdparams(path: Path) -> State:
    """A Paddle state dict as arrays by key.

    Raises:
        InputError: The file cannot be read, is damaged or no state dict, refers to code, or holds NaN.
    """
    content = read_bytes(path, "the weights", hint="--weights takes pretrained, random or a .pdparams file")
    try:
        loaded = _ArraysOnly(io.BytesIO(content)).load()
    except MemoryError as error:
        raise InputError(f"reading the weights {path}: damaged (impossible sizes)", hint=_HINT) from error
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to lead to
        detail = str(error) or type(error).__name__
        raise InputError(f"reading the weights {path}: no whole state dict: {detail}", hint=_HINT) from error
    if not isinstance(loaded, dict):
        raise InputError(
            f"reading the weights {path}: a {type(loaded).__name__} instead of a state dict", hint=_HINT
        )
    return _as_state(loaded, path)


def _as_state(loaded: dict[Any, Any], path: Path) -> State:
    import numpy as np

    state: State = {}
    for key, value in loaded.items():
        if key == _NAME_TABLE:
            continue
        array = value[1] if isinstance(value, tuple) and len(value) == 2 else value
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fi":
            what = f"{array.dtype} values" if isinstance(array, np.ndarray) else f"a {type(array).__name__}"
            raise InputError(
                f"reading the weights {path}: {what} under {key!r} instead of numbers", hint=_HINT
            )
        state[str(key)] = array.astype(np.float32)
        if not np.isfinite(state[str(key)]).all():
            raise InputError(
                f"reading the weights {path}: {key!r} holds NaN or infinity",
                hint="train again, or give another file",
            )
    if not state:
        raise InputError(f"reading the weights {path}: the state dict is empty", hint=_HINT)
    return state


def read_onnx_state(path: Path, keys: Sequence[str]) -> State:
    """The parameters of an ONNX model that Paddle exported, under the keys of the network it came from.

    Paddle numbers layers of a kind in order of creation (`conv2d_7.w_0`, `batch_norm2d_7.w_1`), which is
    the order of a state dict's keys. Biases of convolutions appear as reshaped constants
    (`p2o.pd_op.reshape.N.0`), in the same order.

    Args:
        path: The model.
        keys: The keys of the network's state dict, in its order.

    Raises:
        InputError: It is no ONNX model, or lacks a parameter.
        ToolError: The onnx package is missing.
    """
    try:
        import onnx
    except ImportError as error:
        raise ToolError(
            f"reading the weights {path}: onnx cannot be imported ({error})",
            hint="pip install 'edgekit[paddle]'",
        ) from error
    content = read_bytes(path, "the weights")
    try:
        graph = onnx.load_model_from_string(content).graph
    except Exception as error:  # protobuf's DecodeError, whose module is no dependency of ours
        raise InputError(f"reading the weights {path}: no ONNX model ({error})") from error
    # Constant folding appends `_deepcopy_N` to Paddle's names.
    arrays = {
        re.sub(r"_deepcopy_\d+$", "", tensor.name): onnx.numpy_helper.to_array(tensor)
        for tensor in graph.initializer
    }
    state: State = {}
    for key, name in zip(keys, _paddle_names(keys), strict=True):
        if name not in arrays:
            raise InputError(f"reading the weights {path}: no initialiser {name!r} for {key!r}")
        array = arrays[name]
        state[key] = array.reshape(-1) if name.startswith("p2o.") else array
    return state


def _paddle_names(keys: Sequence[str]) -> list[str]:
    """Paddle's internal parameter names for a state dict's keys."""
    kinds = {layer: _kind(layer, keys) for layer in dict.fromkeys(key.rpartition(".")[0] for key in keys)}
    number: dict[str, int] = {}
    seen: dict[str, int] = {}
    for layer, kind in kinds.items():
        number[layer] = seen.get(kind, 0)
        seen[kind] = number[layer] + 1
    names = []
    biases = 0
    suffixes = {"weight": "w_0", "bias": "b_0", "_mean": "w_1", "_variance": "w_2"}
    for key in keys:
        layer, _, parameter = key.rpartition(".")
        if kinds[layer] == "conv2d" and parameter == "bias":
            names.append(f"p2o.pd_op.reshape.{biases}.0")
            biases += 1
        else:
            names.append(f"{kinds[layer]}_{number[layer]}.{suffixes[parameter]}")
    return names


def _kind(layer: str, keys: Sequence[str]) -> str:
    if f"{layer}._mean" in keys:
        return "batch_norm2d"
    return "linear" if layer.rpartition(".")[2] == "fc" else "conv2d"
