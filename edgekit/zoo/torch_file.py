"""Read PyTorch weight files as arrays without executing their content.

A `.pth` of before PyTorch 1.6 is a row of pickles (a magic number, a version, facts of the machine, the
state dict, the keys of the storages), then the storages in the order of their keys. As in `state_file`, a
pickle may only fill the records of this module; PyTorch itself is not imported.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from edgekit._files import MODEL_BYTES, read_bytes
from edgekit.errors import InputError
from edgekit.zoo.state_file import check_finite

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    State = dict[str, NDArray[np.float32]]

# torch/serialization.py of PyTorch 1.5: MAGIC_NUMBER, PROTOCOL_VERSION.
_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_ZIP = b"PK\x03\x04"
_DTYPES = {
    "HalfStorage": "<f2",
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "IntStorage": "<i4",
    "LongStorage": "<i8",
}
# Paddle's names of a layer's parameters by PyTorch's. Paddle counts no batches.
_PARAMETERS = {"weight": "weight", "bias": "bias", "running_mean": "_mean", "running_var": "_variance"}
_UNUSED = "num_batches_tracked"
_BLOCK = re.compile(r"(?<=\.)\d+(?=\.)")
# `Storage` lies before its count of values.
_COUNT_BYTES = 8


class _Storage(NamedTuple):
    """A run of values of one type, which several tensors may share."""

    key: str
    dtype: str
    values: int


class _Tensor(NamedTuple):
    """A view of a storage; offset and strides are counted in values."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Table(dict[Any, Any]):
    """Replaces OrderedDict, whose attributes are the versions of layers."""

    def __setstate__(self, state: object) -> None:
        """Ignore the attributes."""


def _rebuild(
    storage: _Storage, offset: int, shape: Sequence[int], strides: Sequence[int], *_: object
) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


# The pure-Python unpickler: the C unpickler allocates whatever size a damaged memo index asks for.
class _TensorsOnly(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return _Table
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"it refers to {module}.{name}, which no weight file needs")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, values, view = pid
        if kind != "storage" or view is not None or dtype not in _DTYPES.values():
            raise pickle.UnpicklingError("it refers to something else than a storage")
        return _Storage(str(key), dtype, int(values))


def read_torch_state(path: Path, layers: Mapping[str, str]) -> State:
    """Return a PyTorch state dict under the keys of a network of Paddle.

    Args:
        path: Path of the `.pth`.
        layers: The network's names of layers by PyTorch's; `N` in both stands for a block's number.
            Weights with two dimensions are of linear layers, which Paddle keeps transposed.

    Raises:
        InputError: The file cannot be read, is damaged or of a newer format, refers to code, holds NaN, or
            has a layer that `layers` does not name.
    """
    content = read_bytes(path, "the weights", most_bytes=MODEL_BYTES)
    if content.startswith(_ZIP):
        raise InputError(
            f"reading the weights {path}: a PyTorch file of 1.6 or later; only older ones are read"
        )
    try:
        tensors = _tensors(content)
    except Exception as error:  # a damaged pickle may raise anything
        detail = str(error) or type(error).__name__
        raise InputError(f"reading the weights {path}: no whole PyTorch state dict: {detail}") from error
    state: State = {}
    for name, array in tensors.items():
        layer, _, parameter = name.rpartition(".")
        if parameter == _UNUSED:
            continue
        own = layers.get(_BLOCK.sub("N", layer))
        if own is None or parameter not in _PARAMETERS:
            raise InputError(f"reading the weights {path}: the network has no layer for {name!r}")
        block = _BLOCK.search(layer)
        key = f"{own if block is None else own.replace('N', block[0])}.{_PARAMETERS[parameter]}"
        state[key] = array.T if array.ndim == 2 else array
    check_finite(state, path)
    return state


def _tensors(content: bytes) -> State:
    file = io.BytesIO(content)
    if _load(file) != _MAGIC or _load(file) != _VERSION or not _load(file)["little_endian"]:
        raise ValueError("its head is another")
    table, keys = _load(file), _load(file)
    if not isinstance(table, dict) or not all(isinstance(each, _Tensor) for each in table.values()):
        raise ValueError("it holds something else than tensors")
    storages = {tensor.storage.key: tensor.storage for tensor in table.values()}
    data = {}
    for key in keys:
        storage = storages[key]
        if int.from_bytes(file.read(_COUNT_BYTES), "little") != storage.values:
            raise ValueError(f"storage {key} has another size")
        data[key] = file.read(storage.values * int(storage.dtype[-1]))
    return {str(name): _array(tensor, data[tensor.storage.key]) for name, tensor in table.items()}


def _load(file: io.BytesIO) -> Any:
    return _TensorsOnly(file).load()


def _array(tensor: _Tensor, data: bytes) -> NDArray[np.float32]:
    """Return the view's values, once it is known to lie within its storage."""
    import numpy as np

    values = np.frombuffer(data, tensor.storage.dtype)
    if len(values) != tensor.storage.values or len(tensor.shape) != len(tensor.strides):
        raise ValueError("it ends too early")
    if min((tensor.offset, *tensor.shape, *tensor.strides), default=0) < 0 or not math.prod(tensor.shape):
        raise ValueError("a tensor has no size")
    last = tensor.offset + sum(
        (length - 1) * stride for length, stride in zip(tensor.shape, tensor.strides, strict=True)
    )
    if last >= len(values):
        raise ValueError("a tensor reaches beyond its storage")
    size = values.dtype.itemsize
    view = np.lib.stride_tricks.as_strided(
        values[tensor.offset :], tensor.shape, [stride * size for stride in tensor.strides], writeable=False
    )
    return np.array(view, dtype=np.float32, order="C")
