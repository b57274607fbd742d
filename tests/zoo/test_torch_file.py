"""PyTorch's older weight files, whole and broken; the bytes are written here as torch 1.5 lays them out."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.errors import InputError
from edgekit.zoo.build import build_network, torch_layers
from edgekit.zoo.registry import find_model
from edgekit.zoo.torch_file import read_torch_state
from edgekit.zoo.weights import build_with_weights, parameter_shapes
from tests.conftest import NEEDS_PADDLE

LAYERS = {"_stem": "stem.conv", "_blocks.N._bn": "blocks.N.norm", "_fc": "fc"}
KERNEL = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def integers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(b"J" + struct.pack("<i", value) for value in values) + b"t"


def tensor(key: str, kind: str, values: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    """A call of torch._utils._rebuild_tensor_v2 as opcodes."""
    storage = b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu")
    storage += b"J" + struct.pack("<i", values) + b"NtQ"
    hooks = b"ccollections\nOrderedDict\n)R"
    arguments = (
        b"(" + storage + b"J" + bytes(4) + integers(shape) + integers(strides) + b"\x89" + hooks + b"t"
    )
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R"


def written(entries: dict[str, bytes], storages: dict[str, np.ndarray]) -> bytes:
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    table = b"\x80\x02}" + b"".join(text(name) + value + b"s" for name, value in entries.items()) + b"."
    content = b"".join(pickle.dumps(each, 2) for each in head) + table + pickle.dumps(list(storages), 2)
    return content + b"".join(struct.pack("<q", each.size) + each.tobytes() for each in storages.values())


def whole() -> bytes:
    """A convolution kept in TensorFlow's order, a batch norm's statistics, and a linear layer."""
    entries = {
        "_stem.weight": tensor("1", "FloatStorage", 24, (2, 3, 2, 2), (1, 2, 12, 6)),
        "_blocks.7._bn.running_var": tensor("2", "FloatStorage", 2, (2,), (1,)),
        "_blocks.7._bn.num_batches_tracked": tensor("3", "LongStorage", 1, (), ()),
        "_fc.weight": tensor("4", "HalfStorage", 6, (2, 3), (3, 1)),
    }
    storages = {
        "1": np.ascontiguousarray(KERNEL.transpose(2, 3, 1, 0)),
        "2": np.array([3, 4], "f4"),
        "3": np.array([9], "i8"),
        "4": np.arange(6, dtype="f2"),
    }
    return written(entries, storages)


def test_tensors_come_under_the_networks_names(tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(whole())
    state = read_torch_state(tmp_path / "net.pth", LAYERS)
    assert list(state) == ["stem.conv.weight", "blocks.7.norm._variance", "fc.weight"]
    assert (state["stem.conv.weight"] == KERNEL).all()
    assert state["blocks.7.norm._variance"].tolist() == [3, 4]
    assert state["fc.weight"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert {array.dtype for array in state.values()} == {np.dtype("f4")}


ONE = np.ones(1, "f4")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04" + bytes(60), "1.6 or later"),
        (b"", "no whole PyTorch state dict"),
        (pickle.dumps(17, 2), "its head is another"),
        (whole()[:-3], "buffer size|ends too early"),
        (written({"_fc.bias": b"cos\nsystem\n(" + text("false") + b"tR"}, {}), "refers to os.system"),
        (written({"_fc.bias": text("one")}, {}), "something else than tensors"),
        (written({"_fc.bias": tensor("1", "FloatStorage", 1, (2,), (1,))}, {"1": ONE}), "beyond its storage"),
        (written({"_fc.bias": tensor("1", "FloatStorage", 9, (1,), (1,))}, {"1": ONE}), "another size"),
        (written({"_fc.bias": tensor("1", "FloatStorage", 1, (-1,), (1,))}, {"1": ONE}), "no size"),
        (written({"_se.bias": tensor("1", "FloatStorage", 1, (1,), (1,))}, {"1": ONE}), "no layer"),
        (written({"_fc.bias": tensor("1", "FloatStorage", 1, (1,), (1,))}, {"1": ONE * np.nan}), "NaN"),
    ],
)  # fmt: skip
def test_other_and_broken_files_are_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        read_torch_state(path, LAYERS)
    assert str(path) in caught.value.message


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, len(whole()) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_is_an_error_or_a_state(tmp_path: Path, at: int, byte: int) -> None:
    content = bytearray(whole())
    content[at] = byte
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    try:
        state = read_torch_state(path, LAYERS)
    except InputError:
        return
    assert all(array.dtype == np.float32 for array in state.values())


def test_the_layers_of_efficientnet_lite_are_all_named() -> None:
    paddle = pytest.importorskip("paddle", reason=NEEDS_PADDLE)
    spec = find_model("EfficientNetLite0")
    with paddle.LazyGuard():
        shapes = parameter_shapes(build_network(spec))
    blocks = {key.replace(f".{key.split('.')[1]}.", ".N.", 1) for key in shapes if key.startswith("blocks.")}
    others = {key for key in shapes if not key.startswith("blocks.")}
    assert {key.rpartition(".")[0] for key in blocks | others} == set(torch_layers(spec).values())
    assert len(shapes) == 247


def test_a_pth_is_not_taken_for_own_weights(tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(whole())
    with pytest.raises(InputError, match=r"a PyTorch file is no weight file of Paddle"):
        build_with_weights(find_model("EfficientNetLite0"), str(tmp_path / "net.pth"))
