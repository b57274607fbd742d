"""Parts of a Python bundle for devices: what is taken, what is refused, how they are unpacked."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import msgspec
import numpy
import pytest
from click.testing import CliRunner

from edgekit._files import sha256_file
from edgekit.cli.root import root
from edgekit.engines import onnxruntime, onnxruntime_python
from edgekit.engines.spec import DeviceSide
from edgekit.errors import ToolError, UsageError
from edgekit.toolchain.component import InstallRequest
from edgekit.toolchain.python import unpack
from edgekit.toolchain.python.bundle import engine_files
from edgekit.toolchain.python.cpython import install_device_python
from edgekit.toolchain.python.parts import Part, find_part, store_part, write_archive
from edgekit.toolchain.python.wheels import check_libraries, check_tags, install_wheel, unpack_wheel

X86_LIBRARY = next(Path(str(numpy.__file__)).parent.glob("_core/_multiarray_umath*.so"))


def _zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("ncnn-1.0.20261020-cp311-cp311-manylinux_2_24_aarch64.manylinux_2_28_aarch64.whl", "1.0.20261020"),
        ("ncnn-2.0-cp39-abi3-manylinux_2_28_aarch64.whl", "2.0"),
        ("NCNN-2.0-1-py3-none-any.whl", "2.0"),
    ],
)
def test_a_wheel_for_the_bundles_python_has_a_version(name: str, version: str) -> None:
    assert check_tags(Path(name), "ncnn", "hint") == version


@pytest.mark.parametrize(
    ("name", "observed"),
    [
        ("ncnn-2.0-cp312-cp312-manylinux_2_28_aarch64.whl", "for cp312, the Python on devices is 3.11"),
        ("ncnn-2.0-cp312-abi3-manylinux_2_28_aarch64.whl", "for cp312"),
        ("ncnn-2.0-cp311-cp311-manylinux_2_28_x86_64.whl", "for manylinux_2_28_x86_64"),
        ("ncnn-2.0-cp311-cp311-manylinux_2_39_aarch64.whl", "for manylinux_2_39_aarch64"),
        ("MNN-2.0-cp311-cp311-manylinux_2_28_aarch64.whl", "it is MNN, not ncnn"),
        ("ncnn.zip", "not named as wheels are"),
    ],
)
def test_another_wheel_is_refused_by_name(name: str, observed: str) -> None:
    with pytest.raises(ToolError, match=name) as refused:
        check_tags(Path(name), "ncnn", "hint")
    assert observed in refused.value.message


def test_files_that_inference_does_not_need_are_left_out(tmp_path: Path) -> None:
    members = dict.fromkeys(("a/run.py", "a/run.pyi", "a/tests/t.py", "a/tools/x.py", "a/tools/y/z.py"), b"1")
    wheel = _zip(tmp_path / "a.whl", members)
    assert set(unpack_wheel(wheel, tmp_path / "files", ("a/tools/*",), "hint")) == {"a/run.py"}
    with pytest.raises(ToolError, match="outside itself"):
        unpack_wheel(_zip(tmp_path / "b.whl", {"../x.py": b""}), tmp_path / "files", (), "hint")
    (tmp_path / "c.whl").write_bytes(b"no archive")
    with pytest.raises(ToolError, match=r"unpacking c\.whl: it is damaged"):
        unpack_wheel(tmp_path / "c.whl", tmp_path / "files", (), "hint")


def test_a_library_for_another_machine_is_refused() -> None:
    with pytest.raises(ToolError, match="it is for x86_64, devices need aarch64"):
        check_libraries("a.whl", {"a/core.so": X86_LIBRARY}, ())


def test_equal_files_make_equal_archives_and_others_another_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    source = tmp_path / "one.py"

    def part(content: str) -> Part:
        source.write_text(content)

        def fill(new: Path) -> Part:
            return Part(
                name="base", version="1", unpacked_bytes=write_archive(new, {"b.py": source, "a.py": source})
            )

        return store_part("base", fill)

    first, again = part("1"), part("1")
    assert first.directory == again.directory
    assert first.unpacked_bytes == 2
    other = part("2")
    assert other.directory != first.directory
    assert find_part("base") == other
    other.files["lib.zip"].write_bytes(b"changed")
    assert find_part("base") is None


def test_an_archive_is_unpacked_whole_or_not_at_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    for directory in (good, bad):
        (directory / unpack.PARTIAL / "left").mkdir(parents=True)
        _zip(directory / unpack.ARCHIVE, {"pkg/a.py": b"a = 1\n" * 1000})
    content = bytearray((bad / unpack.ARCHIVE).read_bytes())
    content[60] ^= 255
    (bad / unpack.ARCHIVE).write_bytes(content)
    unpack.main([str(good)])
    moment = (good / "lib" / "pkg" / "a.py").stat().st_mtime_ns
    with pytest.raises(SystemExit) as ended:
        unpack.main([str(good), str(bad)])
    assert str(ended.value.code).startswith(f"{bad}: Bad CRC-32")
    assert [path.name for path in bad.iterdir()] == [unpack.ARCHIVE]
    assert {path.name for path in good.iterdir()} == {unpack.ARCHIVE, "lib"}
    assert (good / "lib" / "pkg" / "a.py").stat().st_mtime_ns == moment


def test_the_worker_runs_where_only_its_own_files_are(tmp_path: Path) -> None:
    """The files that a device gets suffice: nothing else of edgekit is there."""
    spec = importlib.util.find_spec("edgekit.engines.worker")
    assert spec is not None and spec.origin is not None
    package = tmp_path / "edgekit" / "engines"
    (package / "worker").mkdir(parents=True)
    for path in Path(spec.origin).parent.glob("*.py"):
        (package / "worker" / path.name).write_bytes(path.read_bytes())
    files = engine_files(Path(str(onnxruntime_python.__file__)))
    assert Path(str(onnxruntime.__file__)) in files
    for path in files:
        (package / path.name).write_bytes(path.read_bytes())
    start = Path(str(unpack.__file__)).with_name("start.py")
    argv = [
        sys.executable,
        "-I",
        "-S",
        start,
        str(Path(str(numpy.__file__)).parent.parent),
        package / "worker",
    ]
    done = subprocess.run(
        [*argv, package / "onnxruntime_python.py"],
        input=b'{"op": "environment"}\n',
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert msgspec.json.decode(done.stdout)["ok"] is True


def test_a_devices_engine_has_one_runner() -> None:
    with pytest.raises(msgspec.ValidationError, match="either `native` or `wheel`"):
        msgspec.convert({"artifacts": {"fp32": "onnx"}}, DeviceSide)


def test_components_refuse_what_they_are_not_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    wheel = _zip(tmp_path / "onnxruntime-1.23.2-cp310-cp310-manylinux_2_28_aarch64.whl", {"a.py": b""})
    with pytest.raises(ToolError, match=r"it is CPython 3\.11 from apt"):
        install_device_python(InstallRequest(version="3.12"))
    with pytest.raises(ToolError, match="not of a directory"):
        install_wheel("onnxruntime-python", InstallRequest(directory=tmp_path))
    with pytest.raises(ToolError, match="it is for cp310"):
        install_wheel("onnxruntime-python", InstallRequest(archive=wheel))
    with pytest.raises(UsageError, match="a native runner runs it"):
        install_wheel("paddlelite", InstallRequest())


def test_a_wheel_from_a_file_is_kept_with_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    name = "onnxruntime-9.0-cp311-cp311-manylinux_2_28_aarch64.whl"
    wheel = _zip(tmp_path / name, {"onnxruntime/__init__.py": b""})
    words = ["toolchain", "install", "onnxruntime-python-wheel", "--archive", str(wheel)]
    done = CliRunner().invoke(root, words)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("onnxruntime-python-wheel 9.0 ")
    part = find_part("onnxruntime-python-wheel")
    assert part is not None
    assert sha256_file(wheel) in part.origins["onnxruntime"]
    # What is here is taken, whatever version edgekit is tested with.
    assert install_wheel("onnxruntime-python", InstallRequest()) == part
