"""`.nb` headers. The small file is invented after the module's docstring; the real ones are opt's."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from edgekit.convert.formats.nb import HEADER_BYTES, clear_uninitialised, read_header, read_operators
from edgekit.errors import InputError


def invented_nb(*, version: bytes = b"v2.12\0", garbage: bytes = b"\x11" * 10, meta: int = 2) -> bytes:
    topology = b"program!" * 4
    head = struct.pack("<H", meta) + version + garbage[: 16 - len(version)] + struct.pack("<Q", len(topology))
    tensors = [b"a" * 40, b"b" * 8]
    params = struct.pack("<HHHHI", 0, 0, 6, len(tensors), 40)
    for tensor in tensors:
        params += struct.pack("<II", len(tensor) + 4, 4) + tensor
    return head + topology + params


@pytest.fixture
def nb(tmp_path: Path) -> Path:
    path = tmp_path / "model.nb"
    path.write_bytes(invented_nb())
    return path


def test_header_of_an_invented_file(nb: Path) -> None:
    header = read_header(nb)
    assert (header.opt_version, header.topology_bytes, header.parameters) == ("2.12", 32, 2)


def test_release_candidates_are_called_as_on_the_registry(nb: Path) -> None:
    nb.write_bytes(invented_nb(version=b"v2.13-rc\0"))
    assert read_header(nb).opt_version == "2.13rc0"


def test_equal_input_gives_equal_bytes_after_clearing(tmp_path: Path) -> None:
    paths = [tmp_path / "one.nb", tmp_path / "two.nb"]
    for path, garbage in zip(
        paths, (b"\x20\xec\xce\x49\xff\x7f\0\0ab", b"\x5d\xb1\x68\xfd\x7f\0\0\0cd"), strict=True
    ):
        path.write_bytes(invented_nb(garbage=garbage))
        clear_uninitialised(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[0].read_bytes()[2:18] == b"v2.12" + bytes(11)
    assert read_header(paths[0]).parameters == 2


def test_every_truncation_is_noticed(nb: Path) -> None:
    whole = nb.read_bytes()
    for length in range(len(whole)):
        nb.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"model\.nb"):
            read_header(nb)


def test_trailing_bytes_are_noticed(nb: Path) -> None:
    nb.write_bytes(nb.read_bytes() + b"x")
    with pytest.raises(InputError, match="its parts make"):
        read_header(nb)


def test_random_bytes_are_no_nb(nb: Path) -> None:
    source = random.Random(0)
    for size in (0, 1, 25, 26, 200, 5000):
        nb.write_bytes(source.randbytes(size))
        with pytest.raises(InputError):
            read_header(nb)


def test_another_format_version_is_named(nb: Path) -> None:
    nb.write_bytes(invented_nb(meta=7))
    with pytest.raises(InputError, match="format version is 7"):
        read_header(nb)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.nb"):
        read_header(tmp_path / "absent.nb")


def test_opts_own_files(x0_25: Path) -> None:
    sizes = {}
    for name in ("inference.arm.nb", "inference.arm_fp16.nb", "inference.x86.nb"):
        path = x0_25 / name
        if not path.exists():  # opt 2.13rc0 makes none for x86
            continue
        header = read_header(path)
        assert header.opt_version.startswith("2.")
        # PP-LCNet x0_25: 27 convolutions with folded batch norm, two squeeze-excitations, the classifier.
        assert 50 <= header.parameters <= 80
        assert 0 < header.topology_bytes < path.stat().st_size - HEADER_BYTES
        version_field = path.read_bytes()[2:18]
        assert version_field.rstrip(b"\0").find(b"\0") == -1
        sizes[name] = header.topology_bytes
    assert sizes["inference.arm_fp16.nb"] != sizes["inference.arm.nb"]


def test_operators_of_opts_own_files(x0_25: Path) -> None:
    operators = read_operators(x0_25 / "inference.arm.nb")
    # 13 depthwise layers, each followed by a pointwise one; then the stem, two SE blocks and the last one.
    assert operators.count("depthwise_conv2d") == 13
    assert operators.count("conv2d") == 13 + 1 + 2 * 2 + 1
    assert operators[-2:] == ("fc", "softmax")
    assert not {"feed", "fetch"} & set(operators)


def test_a_program_that_is_none_is_refused(nb: Path) -> None:
    with pytest.raises(InputError, match="program is not readable"):
        read_operators(nb)
