"""Who may ask a service: API keys, TLS, the repository API; and how it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgekit.cli.commands.serve import command
from edgekit.errors import InputError, ToolError
from scripts.sides import children
from tests.conftest import require_mlserver
from tests.serving.services import MODEL, SAMPLES, Ports, Service, rest_body, serve_command, start

require_mlserver()
grpc = pytest.importorskip("grpc")
protocol = pytest.importorskip("tritonclient.grpc.service_pb2")

KEYS = ["0123456789abcdef", "fedcba9876543210fedc"]
CALLS = "/inference.GRPCInferenceService/"


@pytest.fixture(scope="module")
def locked(exported: Path, certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with keys, TLS and the repository API."""
    directory = tmp_path_factory.mktemp("locked")
    (directory / "keys").write_text("\n".join([*KEYS, ""]))
    ports = Ports()
    words = ["--api-key", directory / "keys", "--tls-cert", certificate / "cert.pem", "--admin"]
    words += ["--tls-key", certificate / "key.pem"]
    running = start(serve_command(ports, MODEL, *words), ports, directory / "log", exported.parent)
    yield running
    assert running.stop(signal.SIGINT) == 0, running.log.read_text()
    assert "Traceback" not in running.log.read_text()
    assert not any(key in running.log.read_text() for key in KEYS)


def ask(
    locked: Service, certificate: Path, path: str, key: str | None, port: int = 0, body: bytes | None = None
) -> int:
    headers = {"Content-Type": "application/json"}
    if key is not None:
        headers["Authorization"] = key
    request = urllib.request.Request(f"https://127.0.0.1:{port or locked.rest}{path}", body, headers)
    trust = ssl.create_default_context(cafile=certificate / "cert.pem")
    try:
        with urllib.request.urlopen(request, timeout=30, context=trust) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_keys_over_rest_with_tls(locked: Service, certificate: Path) -> None:
    path, body = f"/v2/models/{MODEL}/infer", rest_body(SAMPLES[0].read_bytes())
    for key in KEYS:
        assert ask(locked, certificate, path, f"Bearer {key}", body=body) == 200
    for wrong in (None, "", KEYS[0], f"Basic {KEYS[0]}", f"Bearer {KEYS[0]}x", "Bearer", "Bearer ä"):
        assert ask(locked, certificate, path, wrong, body=body) == 401
        assert ask(locked, certificate, f"/v2/models/{MODEL}", wrong) == 401
        assert ask(locked, certificate, "/metrics", wrong, locked.ports.metrics) == 401
    assert ask(locked, certificate, "/metrics", f"bearer {KEYS[0]}", locked.ports.metrics) == 200
    assert ask(locked, certificate, "/v2/health/live", None) == 200
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        urllib.request.urlopen(f"http://127.0.0.1:{locked.rest}/v2/health/live", timeout=5)


def test_keys_over_grpc_with_tls(locked: Service, certificate: Path) -> None:
    trust = grpc.ssl_channel_credentials((certificate / "cert.pem").read_bytes())
    named = protocol.ModelReadyRequest(name=MODEL).SerializeToString()
    with grpc.secure_channel(f"127.0.0.1:{locked.grpc}", trust) as channel:
        for key in KEYS:
            given = [("authorization", f"Bearer {key}")]
            answer = channel.unary_unary(CALLS + "ModelReady")(named, metadata=given, timeout=30)
            assert protocol.ModelReadyResponse.FromString(answer).ready
        channel.unary_unary(CALLS + "ServerLive")(b"", timeout=30)
        for method in ("ModelReady", "ModelInfer", "ServerMetadata", "RepositoryIndex"):
            for wrong in ([], [("authorization", KEYS[0])], [("authorization", "Bearer 0")]):
                with pytest.raises(grpc.RpcError) as raised:
                    channel.unary_unary(CALLS + method)(named, metadata=wrong, timeout=30)
                assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_an_administrator_unloads_and_loads(locked: Service, certificate: Path) -> None:
    key = f"Bearer {KEYS[1]}"

    def repository(what: str, name: str = MODEL) -> int:
        return ask(locked, certificate, f"/v2/repository/models/{name}/{what}", key, body=b"{}")

    assert repository("unload") == 200
    assert ask(locked, certificate, f"/v2/models/{MODEL}/ready", key) == 404
    assert repository("unload") == 404 and repository("load", "nobody") == 404
    assert repository("load") == 200 and repository("load") == 200
    assert ask(locked, certificate, f"/v2/models/{MODEL}/ready", key) == 200
    # The fixture stops a service that serves nothing.
    assert repository("unload") == 200


def test_a_service_ends_in_time_whatever_is_open(exported: Path, tmp_path: Path) -> None:
    ports = Ports()
    words = ["bash", "-c", 'ulimit -n 320; exec "$@"', "_", *serve_command(ports, MODEL, "--grace", "2")]
    running = start(words, ports, tmp_path / "log", exported.parent)
    opened, mute = time.monotonic(), [socket.create_connection(("127.0.0.1", ports.grpc)) for _ in range(100)]
    # More than may be open; the newest are answered.
    idle = [socket.create_connection(("127.0.0.1", ports.rest)) for _ in range(300)]
    assert running.infer(rest_body(SAMPLES[1].read_bytes()))[0] == 200
    assert len(list(Path(f"/proc/{running.child.pid}/fd").iterdir())) < 250
    head = f"POST /v2/models/{MODEL}/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n".encode()
    for connection, content in ((idle[-1], head), (idle[-2], head + b"\r\n{"), (idle[-3], b"G")):
        connection.sendall(content)
    never = threading.Event()

    def waits() -> Iterator[bytes]:
        never.wait(60)
        yield b""

    with grpc.insecure_channel(f"127.0.0.1:{ports.grpc}") as channel:
        channel.unary_unary(CALLS + "ServerLive")(b"", timeout=30, wait_for_ready=True)
        assert time.monotonic() - opened < 14  # 5 s until mute ones are cut, 4 or fewer to the next try
        call = channel.stream_unary(CALLS + "ModelInfer").future(waits())
        time.sleep(0.2)
        begin = time.monotonic()
        assert running.stop() == 0, running.log.read_text()
        assert time.monotonic() - begin < 3.5
        never.set()
        assert call.code() is not grpc.StatusCode.OK
    for connection in (*idle, *mute):
        connection.close()
    assert "Traceback" not in running.log.read_text()


@pytest.mark.parametrize("moment", ["import", "load"])
def test_interrupts_leave_no_traceback_and_no_process(exported: Path, tmp_path: Path, moment: str) -> None:
    ports = Ports()
    log = tmp_path / "log"
    with log.open("wb") as file:
        child = subprocess.Popen(
            serve_command(ports, MODEL), stdout=file, stderr=file, cwd=exported.parent,
            start_new_session=True, env={**os.environ, "TMPDIR": str(tmp_path)},
        )  # fmt: skip
    deadline = time.monotonic() + 60
    marks = {"import": lambda: list(tmp_path.glob("*serve*")), "load": lambda: children(child.pid)}
    while not marks[moment]() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(child.pid, signal.SIGINT)
    code = child.wait(40)
    assert code in (0, 130), log.read_text()
    assert "Traceback" not in log.read_text() and "serving " not in log.read_text()
    assert not list(tmp_path.glob("edgekit-*"))


def test_without_mlserver_it_says_so(monkeypatch: pytest.MonkeyPatch, exported: Path) -> None:
    monkeypatch.chdir(exported.parent)
    monkeypatch.setitem(sys.modules, "mlserver", None)
    done = CliRunner().invoke(command, [MODEL, *Ports().options])
    assert isinstance(done.exception, ToolError) and done.exception.exit_code == 4
    assert done.exception.hint == "pip install 'edgekit[serve]'"
    assert "serving" not in done.stderr


def test_options_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, exported: Path, certificate: Path, tmp_path: Path
) -> None:
    monkeypatch.chdir(exported.parent)
    encrypted, fifo, short = tmp_path / "encrypted.pem", tmp_path / "fifo", tmp_path / "short"
    subprocess.run(
        ["openssl", "ec", "-aes128", "-passout", "pass:secret", "-in", certificate / "key.pem",
         "-out", encrypted],
        capture_output=True, check=True, timeout=30,
    )  # fmt: skip
    os.mkfifo(fifo)
    short.write_text("short\n")
    (tmp_path / "empty").write_text("\n\n")

    def refused(*words: str | Path) -> str:
        done = CliRunner().invoke(command, [MODEL, *Ports().options, *map(str, words)])
        assert isinstance(done.exception, InputError) and done.exception.exit_code == 3, done.output
        return done.exception.message

    cert, key = certificate / "cert.pem", certificate / "key.pem"
    assert "line 1 is not a key" in refused("--api-key", short) and "short\n" not in refused(
        "--api-key", short
    )
    assert "no key in it" in refused("--api-key", tmp_path / "empty")
    for path in (fifo, tmp_path, tmp_path / "nothing"):
        assert str(path) in refused("--api-key", path)
        assert str(path) in refused("--tls-cert", path, "--tls-key", key)
    assert "encrypted.pem" in refused("--tls-cert", cert, "--tls-key", encrypted)
    assert "cert.pem" in refused("--tls-cert", cert, "--tls-key", cert)
    for words in (["--tls-cert", cert], ["--tls-key", key], ["--admin", "--settings-only", tmp_path / "r"]):
        done = CliRunner().invoke(command, [MODEL, *map(str, words)])
        assert done.exit_code == 2, done.output


def test_a_name_does_not_lead_out_of_the_repository(
    monkeypatch: pytest.MonkeyPatch, doc_ori: Path, tmp_path: Path
) -> None:
    shutil.copytree(doc_ori, tmp_path / "model")
    manifest = tmp_path / "model" / "manifest.json"
    content = json.loads(manifest.read_text())
    for name in ("../../../pwn", "/pwn", "..", "", "a\nb", "a\x1b[31m"):
        manifest.write_text(json.dumps({**content, "name": name}))
        done = CliRunner().invoke(
            command, [str(tmp_path / "model"), "--settings-only", str(tmp_path / "a" / "b" / "repository")]
        )
        assert isinstance(done.exception, InputError), (name, done.output)
        assert not (tmp_path / "a").exists() and not Path("/pwn").exists()
