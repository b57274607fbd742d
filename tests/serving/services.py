"""Services for tests: `edgekit serve` in a process of its own, on free ports."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.ports import free_port

SAMPLES = [REPOSITORY / "models" / "samples" / f"page_{angle}.png" for angle in (0, 90, 180, 270)]
MODEL = "PPLCNet_x1_0_doc_ori"
RANDOM_MODEL = "PPLCNet_x0_25"


@dataclass(frozen=True)
class Ports:
    rest: int = field(default_factory=free_port)
    grpc: int = field(default_factory=free_port)
    metrics: int = field(default_factory=free_port)

    @property
    def options(self) -> list[str]:
        given = {"--port": self.rest, "--grpc-port": self.grpc, "--metrics-port": self.metrics}
        return [word for option, port in given.items() for word in (option, str(port))]


@dataclass(frozen=True)
class Service:
    child: subprocess.Popen[bytes]
    ports: Ports
    log: Path

    @property
    def rest(self) -> int:
        return self.ports.rest

    @property
    def grpc(self) -> int:
        return self.ports.grpc

    def get(self, path: str, port: int | None = None) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port or self.rest}{path}", timeout=10) as answer:
            return answer.read().decode()

    def post(self, path: str, body: bytes, **headers: str) -> tuple[int, str]:
        given = {"Content-Type": "application/json", **headers}
        request = urllib.request.Request(f"http://127.0.0.1:{self.rest}{path}", body, given)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def infer(self, body: bytes, **headers: str) -> tuple[int, str]:
        return self.post(f"/v2/models/{MODEL}/infer", body, **headers)

    def stop(self, how: int = signal.SIGTERM) -> int:
        """Send a signal; return the exit code."""
        self.child.send_signal(how)
        return self.child.wait(30)


def serve_command(ports: Ports, *words: str | Path) -> list[str]:
    return [sys.executable, "-m", "edgekit", "serve", *map(str, words), *ports.options]


def start(command: list[str], ports: Ports, log: Path, cwd: Path, *, said: str = "serving ") -> Service:
    """Start a service; return it when its log says that it serves."""
    with log.open("wb") as file:
        child = subprocess.Popen(command, stdout=file, stderr=file, cwd=cwd)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and child.poll() is None:
        if said in log.read_text():
            return Service(child, ports, log)
        time.sleep(0.05)
    child.kill()
    pytest.fail(f"the service did not become ready: {log.read_text()}")


def rest_body(*contents: bytes, **further: object) -> bytes:
    data = [base64.b64encode(content).decode() for content in contents]
    given = {"name": "image", "datatype": "BYTES", "shape": [len(data)], "data": data}
    return json.dumps({"inputs": [given], **further}).encode()
