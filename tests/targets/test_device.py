"""Runners for a device: which one it gets, and what hints name where it cannot be had."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest

from edgekit.core.device import DeviceInfo
from edgekit.errors import DeviceError, ToolError, UnsupportedError
from edgekit.targets.bundles import Bundles, default_engine
from edgekit.toolchain.build.runtimes import Runtime
from edgekit.toolchain.bundles import available
from edgekit.toolchain.python.parts import Part, store_part

PHONE = DeviceInfo(serial="phone", state="device", transport="adb", abi="arm64-v8a", abis=("arm64-v8a",))
BOARD = DeviceInfo(serial="board", state="device", transport="ssh", abi="x86_64", abis=("x86_64",))
OLD = DeviceInfo(serial="pi2", state="device", transport="ssh", abi="armv7l", abis=("armv7l",))
MIPS = DeviceInfo(serial="router", state="device", transport="ssh", abi="mips64", abis=("mips64",))


@pytest.mark.parametrize("other_engines", [True, False])
def test_a_missing_library_names_only_what_the_command_has(
    other_engines: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    with pytest.raises(ToolError, match="not installed") as raised:
        Bundles(install=False, other_engines=other_engines).get("paddlelite", PHONE)
    assert ("--engine onnxruntime" in (raised.value.hint or "")) is other_engines
    assert "edgekit toolchain install paddlelite-runtime" in (raised.value.hint or "")


def test_an_engine_without_a_runner_for_a_processor_is_unsupported() -> None:
    with pytest.raises(UnsupportedError, match="its runner is for aarch64") as raised:
        Bundles(install=False).get("paddlelite", BOARD)
    assert raised.value.hint == "--engine onnxruntime"
    with pytest.raises(DeviceError, match="router"):
        Bundles(install=False).get("onnxruntime", MIPS)


def test_an_engine_of_the_worker_names_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    with pytest.raises(ToolError, match="CPython for devices is not installed") as raised:
        Bundles(install=False).get("onnxruntime-python", PHONE)
    assert "edgekit toolchain install device-python" in (raised.value.hint or "")
    with pytest.raises(UnsupportedError, match="its runner is for aarch64"):
        Bundles(install=False).get("onnxruntime-python", BOARD)
    with pytest.raises(DeviceError, match=r"pi2 is a 32-bit device \(armv7l\)"):
        Bundles(install=False).get("mnn", OLD)


def test_the_default_engine_has_a_native_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    for name in ("device-python", "mnn-wheel"):
        store_part(name, lambda new, name=name: Part(name=name, version="1", unpacked_bytes=0))
    assert available("mnn", "aarch64")
    assert default_engine(PHONE) == "paddlelite"
    pushed = msgspec.structs.replace(PHONE, runtimes={"mnn": "1"})
    assert default_engine(pushed) == "paddlelite"


def test_the_default_engine_is_one_that_can_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    assert default_engine(BOARD) == "onnxruntime"
    # Nothing is here: the error then names the ways to Paddle Lite's library.
    assert default_engine(PHONE) == "paddlelite"


def test_the_default_engine_on_a_phone_is_the_one_that_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = tmp_path / "runtimes" / "onnxruntime-aarch64"
    runtime.mkdir(parents=True)
    (runtime / "libonnxruntime.so.1").write_bytes(b"library")
    marker = Runtime(
        engine="onnxruntime", version="1.23.2", target="aarch64", library="libonnxruntime.so.1",
        sha256=hashlib.sha256(b"library").hexdigest(), source="test",
    )  # fmt: skip
    (runtime / "runtime.json").write_bytes(msgspec.json.encode(marker))
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    assert default_engine(PHONE) == "onnxruntime"
