"""A service and a certificate that the tests of this folder share."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RunCli, require_mlserver
from tests.serving.services import MODEL, RANDOM_MODEL, SAMPLES, Ports, Service, serve_command, start


@pytest.fixture(scope="session")
def service(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    require_mlserver()
    ports = Ports()
    command = serve_command(ports, MODEL, RANDOM_MODEL, "--max-body", "4")
    running = start(command, ports, tmp_path_factory.mktemp("service") / "log", exported.parent)
    yield running
    assert running.stop() == 0, running.log.read_text()


@pytest.fixture(scope="session")
def predicted(run_cli: RunCli, exported: Path) -> list[dict[str, object]]:
    """Answers of `edgekit predict` for the samples."""
    done = run_cli(["predict", MODEL, *SAMPLES, "--json"], cwd=exported.parent)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `cert.pem` and `key.pem` for 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    directory = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=edgekit", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=directory, capture_output=True, check=True, timeout=30,
    )  # fmt: skip
    return directory
