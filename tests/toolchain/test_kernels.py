"""Kernels are found in a stripped library, each at its first instruction."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.errors import ToolError
from edgekit.toolchain.build.kernels import kernel_entries

SOURCE = Path(__file__).parent / "kernels.cc"
# `movz x9, #n`, of the n that kernels.cc gives each.
FOUND = {
    11: ("ConvCompute fp32 fp32",),
    21: ("ConvCompute int8 fp32",),
    7: ("ScaledSoftmaxCompute", "SoftmaxCompute"),
    8: ("DepthwiseConv",),
}


def build(library: Path, *flags: str) -> Path:
    pytest.importorskip("ziglang")
    subprocess.run(
        [sys.executable, "-m", "ziglang", "c++", "-target", "aarch64-linux-gnu.2.28", "-shared", "-fPIC",
         "-O2", "-nostdlib", "-nostdlib++", "-fno-exceptions", "-s", *flags, SOURCE, "-o", library],
        check=True, timeout=300,
    )  # fmt: skip
    return library


@pytest.mark.parametrize("visibility", ["hidden", "default"])
def test_every_kernel_of_a_stripped_library(tmp_path: Path, visibility: str) -> None:
    library = build(tmp_path / "kernels.so", f"-fvisibility={visibility}")
    data = library.read_bytes()
    entries = kernel_entries(library)
    numbers = {
        int.from_bytes(data[offset : offset + 4], "little") >> 5 & 0xFFFF: entry
        for offset, entry in entries.items()
    }
    assert {number: entry.names for number, entry in numbers.items()} == FOUND
    assert [number for number, entry in numbers.items() if not entry.is_operator] == [8]
    assert numbers[7].name == "ScaledSoftmaxCompute or SoftmaxCompute"


def test_a_library_without_type_information_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="no type information") as caught:
        kernel_entries(build(tmp_path / "kernels.so", "-fno-rtti"))
    assert "--with_log" in (caught.value.hint or "")
    (tmp_path / "no.so").write_text("no library")
    with pytest.raises(ToolError, match=r"no .*ELF"):
        kernel_entries(tmp_path / "no.so")
