"""Converters of other engines' formats: what may be installed, and as what."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import InputError, ToolError, UsageError
from edgekit.toolchain.component import InstallRequest
from edgekit.toolchain.components import component
from edgekit.toolchain.converters import MNNCONVERT, PNNX, require_python


def test_converters_are_components_of_one_version(tmp_path: Path) -> None:
    for converter in (MNNCONVERT, PNNX):
        own = component(converter.name)
        assert converter.format in own.purpose
        for wrong in ({"version": "1.0"}, {"directory": tmp_path}):
            with pytest.raises(UsageError, match=converter.name):
                own.install(InstallRequest(**wrong))  # type: ignore[arg-type]


def test_wheels_of_others_and_of_another_python_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "numpy-2.0.0-cp311-cp311-linux_x86_64.whl"
    old = tmp_path / "mnn-3.6.1-cp27-cp27mu-manylinux_2_17_x86_64.whl"
    for path in (other, old):
        path.write_bytes(b"PK")
    own = component("mnnconvert")
    for path in (other, tmp_path / "mnn-3.6.1-cp311-missing.whl"):
        with pytest.raises(InputError, match=r"no wheel of MNN 3\.6\.1"):
            own.install(InstallRequest(archive=path))
    with pytest.raises(ToolError, match="the wheel is for cp27"):
        own.install(InstallRequest(archive=old))


def test_a_missing_converter_is_named_with_its_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    assert component("pnnx").find() is None
    with pytest.raises(ToolError, match="pnnx is not installed") as refused:
        require_python(PNNX, install=False, progress=print)
    assert refused.value.hint == "edgekit toolchain install pnnx"
