"""The bundle that travels, and the runner's builds; under the user's cache, as every command has it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from edgekit.errors import ToolError, UsageError
from edgekit.toolchain.build.bundle import Bundle, assemble
from edgekit.toolchain.build.c_libraries import loader_name
from edgekit.toolchain.build.elf import read_elf
from edgekit.toolchain.build.native import build_runner
from edgekit.toolchain.build.runtimes import find_runtime


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return assemble("onnxruntime", progress=print)


def test_the_bundle_is_complete_and_for_arm64(bundle: Bundle) -> None:
    """Every library that any file needs is among the files, under the name that it is asked for by."""
    elves = {name: read_elf(path) for name, path in bundle.files.items()}
    assert {elf.machine for elf in elves.values()} == {"aarch64"}
    assert {need for elf in elves.values() for need in elf.needed} <= set(elves)
    assert all(elf.soname in (None, name) for name, elf in elves.items())
    assert bundle.program in elves
    assert not any(path.is_symlink() for path in bundle.files.values())
    runtime = find_runtime("onnxruntime", "aarch64")
    assert runtime is not None
    assert bundle.engine_version == runtime.version
    assert not bundle.fp16


def test_the_bundle_starts_with_its_own_loader(bundle: Bundle) -> None:
    assert bundle.argv("/d") == [
        "/d/" + loader_name("aarch64"),
        "--library-path",
        "/d",
        f"/d/{bundle.program}",
    ]
    assert set(bundle.env("/d")) == {"LD_PRELOAD", "LD_LIBRARY_PATH"}
    assert bundle.counting_env("/d")["OMP_WAIT_POLICY"] == "passive"


def test_the_bundle_runs_from_one_directory(bundle: Bundle, tmp_path: Path) -> None:
    """All that it opens lies in that directory: its own loader is given no other place."""
    qemu = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if qemu is None:
        pytest.skip("needs qemu-aarch64 on PATH (the virtual device's tests run the bundle without it)")
    for name, path in bundle.files.items():
        shutil.copy(path, tmp_path / name)
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        [qemu, *bundle.argv(str(tmp_path)), "--version"],
        capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": "/usr/bin:/bin", **bundle.env(str(tmp_path))},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["engine_version"] == bundle.engine_version
    assert bundle.files[bundle.program].parent.name.endswith(said["build_id"])


def test_a_second_build_builds_nothing(bundle: Bundle) -> None:
    said: list[str] = []
    runner = build_runner("onnxruntime", "aarch64", progress=said.append)
    assert said == []
    assert runner.path == bundle.files[bundle.program]
    before = runner.path.stat().st_mtime_ns
    assert build_runner("onnxruntime", "aarch64", progress=said.append).path.stat().st_mtime_ns == before


def test_builds_are_equal_byte_for_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = set()
    for name in ("one", "another-place"):
        monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / name))
        runner = build_runner("onnxruntime", "x86_64", progress=print)
        contents.add(runner.path.read_bytes())
        assert (runner.path.parent / "libonnxruntime.so.1").is_file()
        done = subprocess.run(
            [runner.path, "--version"], capture_output=True, text=True, timeout=60, check=True
        )
        assert json.loads(done.stdout)["engine_version"]
    assert len(contents) == 1


def test_a_runner_whose_library_went_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache outlives the environment that a library came from; earlier versions linked to it."""
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    library = build_runner("onnxruntime", "x86_64", progress=print).path.parent / "libonnxruntime.so.1"
    assert not library.is_symlink()
    library.unlink()
    library.symlink_to(tmp_path / "gone.so")
    assert build_runner("onnxruntime", "x86_64", progress=print).path.is_file()
    assert library.is_file()


def test_missing_runtimes_are_errors_with_remedies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path))
    with pytest.raises(ToolError, match="not installed") as refused:
        assemble("paddlelite", install=False, progress=print)
    assert "--archive" in (refused.value.hint or "")
    for target in ("aarch64", "x86_64", "android"):
        with pytest.raises(ToolError, match="library is not installed") as refused:
            build_runner("paddlelite", target, progress=print)
        assert "paddlelite-runtime" in (refused.value.hint or "")


def test_android_needs_an_ndk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANDROID_NDK_HOME", raising=False)
    with pytest.raises(ToolError, match="ANDROID_NDK_HOME is not set"):
        build_runner("onnxruntime", "android", progress=print)
    monkeypatch.setenv("ANDROID_NDK_HOME", str(tmp_path))
    with pytest.raises(ToolError, match=r"there is no .*clang"):
        build_runner("onnxruntime", "android", progress=print)


def test_unknown_engines_and_targets() -> None:
    with pytest.raises(UsageError, match="no engine 'tflite'"):
        build_runner("tflite", "aarch64", progress=print)
    with pytest.raises(UsageError, match="no target 'riscv'"):
        build_runner("onnxruntime", "riscv", progress=print)


def test_a_compilers_complaint_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler that fails, found where compilers are looked for."""
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    for name in ("cc", "c++"):
        program = tmp_path / name
        program.write_text(
            '#!/bin/sh\n[ "$1" = --version ] && echo "cc 1.0" && exit 0\necho "no space left" >&2\nexit 3\n'
        )
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ToolError, match=r"compiling main\.c with cc 1\.0 ended with exit code 3:\nno space"):
        build_runner("onnxruntime", "x86_64", progress=print)
    assert not list((tmp_path / "cache" / "native").glob("*/edgekit-runner-*"))
    assert not [path for path in (tmp_path / "cache" / "native").iterdir() if path.is_dir()]


def test_toolchain_build_runner_prints_the_path(run_cli, tmp_path: Path) -> None:
    result = run_cli(["toolchain", "build", "runner", "--target", "x86_64", "--json"], cwd=tmp_path)
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)
    assert (said["engine"], said["target"]) == ("onnxruntime", "x86_64")
    assert read_elf(Path(said["path"])).machine == "x86_64"
    plain = run_cli(["toolchain", "build", "runner", "--target", "x86_64"], cwd=tmp_path)
    assert plain.stdout.strip() == said["path"]
    assert plain.stderr == ""
    assert run_cli(["toolchain", "build", "runner", "--target", "mips"], cwd=tmp_path).exit_code == 2
    assert run_cli(["toolchain", "build", "opt"], cwd=tmp_path).exit_code == 2


def test_toolchain_install_says_what_is_missing(run_cli, tmp_path: Path) -> None:
    env = {"EDGEKIT_CACHE": str(tmp_path / "cache"), "EDGEKIT_MIRROR": str(tmp_path / "mirror")}
    result = run_cli(["toolchain", "install", "paddlelite-runtime"], cwd=tmp_path, env=env, timeout_s=30)
    assert result.exit_code == 4
    assert result.stdout == ""
    assert "--archive" in result.stderr
    assert "--dir" in result.stderr
    assert "--engine" not in result.stderr, "toolchain install has no such option"
