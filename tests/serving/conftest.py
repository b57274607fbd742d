"""One service that the tests of this folder share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RunCli
from tests.serving.services import MODEL, RANDOM_MODEL, SAMPLES, Ports, Service, serve_command, start


@pytest.fixture(scope="session")
def service(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    ports = Ports()
    command = serve_command(ports, MODEL, RANDOM_MODEL, "--max-body", "4")
    running = start(command, ports, tmp_path_factory.mktemp("service") / "log", exported.parent)
    yield running
    assert running.stop() == 0, running.log.read_text()


@pytest.fixture(scope="session")
def predicted(run_cli: RunCli, exported: Path) -> list[dict[str, object]]:
    """What `edgekit predict` answers for the samples."""
    done = run_cli(["predict", MODEL, *SAMPLES, "--json"], cwd=exported.parent)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)
