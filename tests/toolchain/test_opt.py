"""Which opt is used, where it comes from, and what is said when none is to be had."""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from edgekit.errors import InputError, ToolError, UsageError
from edgekit.toolchain.component import InstallRequest
from edgekit.toolchain.components import COMPONENTS, component
from edgekit.toolchain.opt import sources as opt_sources
from edgekit.toolchain.opt.environments import MARKER, Environment, make_environment, read_environment
from edgekit.toolchain.opt.install import install_opt, require_opt
from edgekit.toolchain.opt.interpreters import Interpreter, query
from edgekit.toolchain.opt.opt import (
    RELEASES,
    environment_directory,
    find_opt,
    read_version,
    registry_version,
)
from edgekit.toolchain.opt.sources import suitable
from tests.conftest import RunCli

SILENT = InstallRequest()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of one's own, and no opt named by the environment."""
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EDGEKIT_OPT", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def bare(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without interpreters, uv and network."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "mirror").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("EDGEKIT_MIRROR", str(tmp_path / "mirror"))
    for name in ("PYENV_ROOT", "CONDA_PREFIX", "CONDA_EXE", "UV_PYTHON_INSTALL_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def interpreter(version: tuple[int, int, int], **changes: object) -> Interpreter:
    known = {
        "path": Path("/usr/bin/python"),
        "source": "PATH",
        "machine": "x86_64",
        "implementation": "CPython",
        "bits": 64,
        "has_venv": True,
        "has_pip": True,
    }
    return Interpreter(version=version, **{**known, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("printed", "known"),
    [("v2.12", "2.12"), ("v2.13-rc", "2.13rc0"), ("2.14-rc0", "2.14rc0"), ("2.12", "2.12")],
)
def test_versions_are_called_as_on_the_registry(printed: str, known: str) -> None:
    assert registry_version(printed) == known


def test_the_full_release_is_preferred_and_needs_python_3_7() -> None:
    present = [
        interpreter((3, 9, 2)),
        interpreter((3, 6, 9)),
        interpreter((3, 7, 1)),
        interpreter((3, 12, 0)),
    ]
    assert RELEASES[0].version == "2.12"
    assert [each.version for each in suitable(present, RELEASES[0])] == [(3, 7, 1), (3, 6, 9)]
    assert [each.version for each in suitable(present, RELEASES[1])] == [(3, 9, 2)]


def test_interpreters_that_cannot_load_the_wheel_are_passed_over() -> None:
    unsuitable = [
        interpreter((3, 7, 1), implementation="PyPy"),
        interpreter((3, 7, 1), bits=32),
        interpreter((3, 7, 1), has_venv=False),
    ]
    assert suitable(unsuitable, RELEASES[0]) == []


def test_no_interpreter_lists_what_was_looked_for_and_every_way_to_mend_it(bare: Path) -> None:
    with pytest.raises(ToolError) as failure:
        install_opt(InstallRequest(version="2.12"))
    message, hint = failure.value.message, failure.value.hint or ""
    assert "paddlelite 2.12 needs one of Python 3.6, 3.7" in message
    assert f"pyenv ({bare}/.pyenv)" in message
    assert "found none" in message
    assert "opt_linux" in message
    for way in ("pyenv install 3.7", "conda create", "--archive", "EDGEKIT_OPT", "--formats paddle,onnx"):
        assert way in hint
    assert failure.value.exit_code == 4


def test_nothing_is_installed_where_that_is_forbidden(bare: Path) -> None:
    with pytest.raises(ToolError) as failure:
        require_opt(install=False, progress=lambda _line: None)
    assert "edgekit toolchain install opt" in (failure.value.hint or "")


def test_the_opt_that_the_user_names_is_taken(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "opt"
    program.write_text("#!/bin/sh\necho v2.13-rc\n")
    program.chmod(0o755)
    monkeypatch.setenv("EDGEKIT_OPT", str(program))
    found = find_opt()
    assert found is not None
    assert (found.version, found.argv, found.source) == ("2.13rc0", (str(program),), "EDGEKIT_OPT")
    assert found.python is None
    assert found.broken_targets == ("x86",)


@pytest.mark.parametrize("what", ["absent", "directory", "not executable"])
def test_a_wrong_name_for_opt_is_an_error_not_a_search(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    path = tmp_path / what
    if what == "directory":
        path.mkdir()
    elif what == "not executable":
        path.write_text("#!/bin/sh\n")
    monkeypatch.setenv("EDGEKIT_OPT", str(path))
    with pytest.raises(ToolError, match="no such executable file"):
        find_opt()


def test_a_binary_tells_its_version_in_its_help(tmp_path: Path) -> None:
    """As the release's binary: an error for --version, the help without arguments."""
    program = tmp_path / "opt"
    program.write_text('#!/bin/sh\n[ $# = 0 ] && echo "paddlelite opt version:v2.12" && exit\nexit 1\n')
    program.chmod(0o755)
    assert read_version((str(program),)) == "2.12"
    assert read_version(("/bin/true",)) is None
    assert read_version((sys.executable,)) is None


def test_a_version_that_does_not_exist(cache: Path) -> None:
    with pytest.raises(UsageError, match=r"no version 9\.9; there are 2\.12"):
        install_opt(InstallRequest(version="9.9"))


def test_a_directory_is_no_opt(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory"):
        install_opt(InstallRequest(directory=tmp_path))


def test_archives_that_are_no_opt(bare: Path) -> None:
    text = bare / "opt_linux"
    text.write_text("<html>not found</html>")
    with pytest.raises(InputError, match="neither a paddlelite wheel nor a Linux program"):
        install_opt(InstallRequest(archive=text))
    shutil.copy("/bin/true", bare / "true")
    with pytest.raises(ToolError, match="does not tell its version"):
        install_opt(InstallRequest(archive=bare / "true"))
    wheel = bare / "paddlelite-2.12-cp37-cp37m-manylinux1_x86_64.whl"
    wheel.write_bytes(b"PK\x03\x04")
    with pytest.raises(ToolError, match=r"no Python 3\.7 here"):
        install_opt(InstallRequest(archive=wheel))
    assert find_opt() is None


def test_debians_mirrors_are_read_off_apts_own_sources(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(
        "# deb http://commented.example/debian bookworm main\n"
        "deb [arch=amd64] http://one.example/debian bookworm main\n"
        "deb http://one.example/debian-security bookworm-security main\n"
    )
    (tmp_path / "sources.list.d" / "debian.sources").write_text(
        "Types: deb\n# http://snapshot.example/archive/debian/2025\nURIs: http://two.example/debian/\n"
    )
    (tmp_path / "sources.list.d" / "node.sources.disabled").write_text("URIs: http://three.example/debian\n")
    assert opt_sources._debian_mirrors(tmp_path) == [
        "http://one.example/debian",
        "http://two.example/debian/",
    ]


@pytest.fixture
def tiny_wheel(tmp_path: Path) -> Path:
    """A package with one library-like file, so that pip needs no registry."""
    path = tmp_path / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny/__init__.py", "")
        wheel.writestr("tiny/lib.so", b"\x7fELF" * 100)
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr(
            "tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    return path


@pytest.mark.slow
def test_an_environment_is_made_once_and_again_when_it_is_damaged(cache: Path, tiny_wheel: Path) -> None:
    here = query(Path(sys.executable))
    assert here is not None
    said: list[str] = []
    directory = cache / "opt" / "tiny"

    def make(force: bool = False) -> Environment:
        return make_environment(directory, here, [str(tiny_wheel)], progress=said.append, force=force)

    environment = make()
    assert read_environment(directory) == environment
    library = next(directory.rglob("tiny/lib.so"))
    assert environment.libraries[str(library.relative_to(directory))] == 400
    said.clear()
    assert make() == environment
    assert said == []
    library.write_bytes(b"short")
    assert read_environment(directory) is None
    assert make() == environment
    assert library.stat().st_size == 400
    (directory / MARKER).unlink()  # as after an interruption
    assert read_environment(directory) is None
    said.clear()
    make()
    assert any("making an environment" in line for line in said)


def test_what_pip_cannot_get_is_a_tool_error_and_no_environment(cache: Path, tmp_path: Path) -> None:
    here = query(Path(sys.executable))
    assert here is not None
    directory = cache / "opt" / "broken"
    broken = tmp_path / "broken-1.0-py3-none-any.whl"
    broken.write_bytes(b"no zip file")
    with pytest.raises(ToolError, match="pip ended with exit code"):
        make_environment(directory, here, [str(broken)], progress=lambda _line: None)
    assert read_environment(directory) is None


def test_components_are_found_by_name() -> None:
    assert component("opt") in COMPONENTS
    with pytest.raises(InputError, match="no component 'otp'") as failure:
        component("otp")
    assert failure.value.hint == "edgekit toolchain install opt"


def test_toolchain_list_tells_what_is_missing(bare: Path, run_cli: RunCli) -> None:
    result = run_cli(["toolchain", "list"], cwd=bare)
    assert result.exit_code == 0, result.stderr
    assert "edgekit toolchain install opt" in result.stdout
    assert result.stderr == ""


@pytest.mark.slow
def test_opt_is_installed_from_the_registry_and_healed_when_damaged(cache: Path) -> None:
    found = install_opt(SILENT)
    assert find_opt() == found
    assert found.python is not None
    directory = environment_directory(found.version, found.python.parent.parent.name.rpartition("-")[2])
    library = next(directory.rglob("paddlelite/lite.so"))
    library.write_bytes(library.read_bytes()[:1000])
    assert find_opt() is None
    assert install_opt(SILENT) == found
    assert find_opt() == found


@pytest.mark.slow
def test_debian_11s_python_runs_opt_where_its_mirror_has_it(cache: Path) -> None:
    try:
        found = opt_sources.from_debian(RELEASES, SILENT)
    except ToolError as error:
        pytest.skip(f"Debian 11's packages are not to be had here: {error.message}")
    assert found.version == "2.13rc0"
    assert str(cache) in found.argv[0]
    assert find_opt() == found
