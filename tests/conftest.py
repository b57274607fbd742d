"""Fixtures that many tests share: the command line as users run it, and models exported once a run."""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
from filelock import FileLock

from edgekit.cli.root import main
from edgekit.toolchain import paddle
from edgekit.toolchain.build.runtimes import AARCH64, find_runtime
from edgekit.toolchain.cache import cache_directory
from tests.devices import AdbDevice, AdbHost, running_adb_server, running_virtual_device
from tests.transports.sshd import Sshd, running_sshd
from tests.warm_python import warm_python

REPOSITORY = Path(__file__).parent.parent
ANOTHER_PYTHON = "make test VENV=.venv312 PYTHON=python3.12"
NEEDS_PADDLE = f"needs Paddle in this Python itself: {ANOTHER_PYTHON}"

# A busy machine stretches single examples, and a time says nothing of what is tested.
hypothesis.settings.register_profile("edgekit", deadline=None)
hypothesis.settings.load_profile("edgekit")

# A shell's background jobs start with SIGINT ignored, and would pass that on to every child that a test
# interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class CliResult:
    """Outcome of a run of `edgekit`; exit code, stdout and stderr are asserted apart."""

    exit_code: int
    stdout: str
    stderr: str


RunCli = Callable[..., CliResult]


def _run_cli(
    python: str | Path,
    arguments: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 300.0,
) -> CliResult:
    done = subprocess.run(
        [python, "-m", "edgekit", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200", **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return CliResult(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An interpreter that starts warm."""
    with warm_python(tmp_path_factory.mktemp("warm")) as client:
        yield client


@pytest.fixture
def warm_children(python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Children that edgekit starts from this process start warm."""
    monkeypatch.setattr(sys, "executable", str(python))


@pytest.fixture(scope="session")
def run_cli(python: Path) -> RunCli:
    """`run_cli([...], cwd=…)`: edgekit in a process of its own, whose imports are behind it."""
    return functools.partial(_run_cli, python)


@pytest.fixture(scope="session")
def run_cold_cli() -> RunCli:
    """`run_cli` from a cold start, where imports or the interpreter itself matter."""
    return functools.partial(_run_cli, sys.executable)


@pytest.fixture
def run_inside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., CliResult]:
    """`run_inside("report", "x.json")`: edgekit in this process, in `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str | Path) -> CliResult:
        capsys.readouterr()
        logger = logging.getLogger("edgekit")
        before = logger.level, logger.handlers[:], logger.propagate
        with pytest.raises(SystemExit) as ended:
            main(list(map(str, arguments)))
        logger.level, logger.handlers[:], logger.propagate = before
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return CliResult(ended.value.code, said.out, said.err)

    return run


@pytest.fixture(scope="session")
def shared_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that all workers of one test run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


def require_paddle() -> None:
    """Skip a test where neither this Python nor an environment of its own has Paddle."""
    if not paddle.is_here() and paddle.find_environment_python() is None:
        pytest.skip("needs Paddle, of which this Python has no wheels: edgekit toolchain install paddle")


def python_with_paddle() -> Path:
    """The interpreter of scripts that import Paddle: this one, else that of Paddle's environment."""
    require_paddle()
    if importlib.util.find_spec("paddle") is not None:
        return Path(sys.executable)
    there = paddle.find_environment_python()
    assert there is not None
    return there


def require_mlserver() -> None:
    """Skip a test, or a module of tests that calls this at its top, where MLServer is missing.

    It is not imported: its protocol buffers and tritonclient's do not go into one process.
    """
    if importlib.util.find_spec("mlserver") is None:
        pytest.skip(f"needs MLServer: {ANOTHER_PYTHON}", allow_module_level=True)


def _exported(shared_directory: Path, run_cli: RunCli, model: str, *options: str) -> Path:
    """Export a model once a run and return its directory; others are exported side by side."""
    require_paddle()
    root = shared_directory / "exported"
    with FileLock(shared_directory / f"{model}.lock"):
        if not (root / f"{model}.done").exists():
            root.mkdir(exist_ok=True)
            result = run_cli(["export", model, *options], cwd=root, timeout_s=900)
            assert result.exit_code == 0, result.stderr
            (root / f"{model}.done").touch()
    return root / "models" / model


@pytest.fixture(scope="session")
def doc_ori(shared_directory: Path, run_cli: RunCli) -> Path:
    """The artifact directory of the trained network of pages (4 classes); treat it as read-only."""
    return _exported(shared_directory, run_cli, "PPLCNet_x1_0_doc_ori")


@pytest.fixture(scope="session")
def x0_25(shared_directory: Path, run_cli: RunCli) -> Path:
    """The artifact directory of PPLCNet_x0_25 with random weights (1000 classes); treat it as read-only."""
    return _exported(shared_directory, run_cli, "PPLCNet_x0_25", "--weights", "random")


@pytest.fixture(scope="session")
def exported(doc_ori: Path, x0_25: Path) -> Path:
    """The `models` directory of both."""
    assert doc_ori.parent == x0_25.parent
    return doc_ori.parent


@pytest.fixture(scope="session")
def has_x86_nb(x0_25: Path) -> bool:
    """Whether the opt here made an x86 artifact, which Paddle Lite on this host needs; 2.13rc0's crashes."""
    return (x0_25 / "inference.x86.nb").exists()


@pytest.fixture(scope="session")
def x86_nb(has_x86_nb: bool) -> None:
    """For tests that are about Paddle Lite on this host."""
    if not has_x86_nb:
        pytest.skip("needs opt 2.12 (a Python 3.6 or 3.7) for an x86 .nb")


@pytest.fixture(scope="session")
def two_inputs(shared_directory: Path, has_x86_nb: bool, run_cli: RunCli) -> Path:
    """An imported model of two inputs and two outputs of different types (`tests.convert.onnx_models`)."""
    require_paddle()
    from tests.convert import onnx_models

    root = shared_directory / "imported"
    formats = ["--formats", "paddle,onnx"]
    if has_x86_nb:
        formats = ["--formats", "paddle,onnx,nb", "--nb-targets", "arm,x86"]
    with FileLock(shared_directory / "imported.lock"):
        if not (root / "models").exists():
            root.mkdir()
            source = onnx_models.two_inputs(root / "two.onnx")
            result = run_cli(["import", source, "--name", "two", *formats], cwd=root, timeout_s=300)
            assert result.exit_code == 0, result.stderr
    return root / "models" / "two"


@pytest.fixture(scope="session")
def adb_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdbHost]:
    """A private adb server, which edgekit in this process and in its children then uses."""
    with running_adb_server(tmp_path_factory.mktemp("adb")) as host, pytest.MonkeyPatch.context() as patch:
        for name, value in host.environment.items():
            patch.setenv(name, value)
        yield host


@pytest.fixture(scope="session")
def virtual_device(adb_host: AdbHost) -> Iterator[AdbDevice]:
    """A virtual device (or the one that `$EDGEKIT_TEST_DEVICE` names); leave it as it was found."""
    named = os.environ.get("EDGEKIT_TEST_DEVICE")
    if named:
        device = AdbDevice(serial=named, host=adb_host)
        device.reconnect()
        yield device
        return
    with running_virtual_device(adb_host) as device:
        yield device


@pytest.fixture(scope="session")
def paddlelite_runtime() -> None:
    """For tests of Paddle Lite on devices: its library is no package of a registry."""
    if find_runtime("paddlelite", AARCH64) is None:
        pytest.skip("needs Paddle Lite's ARM library: edgekit toolchain install paddlelite-runtime")


@pytest.fixture(autouse=True)
def _attached(request: pytest.FixtureRequest) -> None:
    """The shared device is attached at the start of each test: some tests end the adb server."""
    if "virtual_device" in request.fixturenames:
        request.getfixturevalue("virtual_device").attach()


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A real sshd on loopback that lets this user in; `ssh` on PATH knows the way."""
    directory = tmp_path_factory.mktemp("sshd")
    with (
        running_sshd(directory, cache_directory("apt")) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("PATH", f"{server.bin_directory}{os.pathsep}{os.environ['PATH']}")
        yield server
