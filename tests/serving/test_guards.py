"""Guards around a small application, over real connections."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edgekit.errors import OutputError
from edgekit.serving import protection
from edgekit.serving.protection import Protection, connection_limits, is_loopback
from tests.conftest import require_mlserver

require_mlserver()  # it brings uvicorn
uvicorn = pytest.importorskip("uvicorn")
guards = pytest.importorskip("edgekit.serving.guards")

LIMIT_S = 0.5


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the body; sleep first where the path says so."""
    message = await receive()
    if scope["path"] == "/sleep":
        await asyncio.sleep(60)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    size = (64 << 20) if scope["path"] == "/much" else None
    await send({"type": "http.response.body", "body": bytes(size) if size else message["body"]})


@contextlib.contextmanager
def guarded(most: int = 10, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of the application behind the guards."""
    guard = guards.Guard(application, protection=Protection(timeout_s=LIMIT_S), max_body_bytes=1000)
    connection = partial(guards.WatchedConnection, most=most, limit_s=2 * LIMIT_S, tls=tls)
    config = uvicorn.Config(
        guard, http=connection, lifespan="off", log_level="critical", ws="none", loop="asyncio"
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            server.force_exit = server.should_exit = True
            thread.join(10)


def ask(port: int, path: str, body: bytes = b"") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", path, body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def is_cut(connection: socket.socket) -> bool:
    try:
        while connection.recv(1 << 20):
            pass
    except ConnectionError:
        return True
    return True


def test_a_request_has_a_time_limit() -> None:
    with guarded() as port:
        assert ask(port, "/", b"hello") == (200, b"hello")
        status, content = ask(port, "/sleep")
        assert status == 408 and b"within 0.5 s" in content
        with socket.create_connection(("127.0.0.1", port), timeout=10) as slow:
            slow.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\nbegun")
            assert slow.recv(100).startswith(b"HTTP/1.1 408")


def test_connections_that_wait_are_cut() -> None:
    with guarded() as port:
        place = ("127.0.0.1", port)
        with (
            socket.create_connection(place, timeout=10) as silent,
            socket.create_connection(place, timeout=10) as head,
            socket.create_connection(place, timeout=10) as reader,
        ):
            begin = time.monotonic()
            head.sendall(b"GET / HTTP/1.1\r\n")
            reader.sendall(b"GET /much HTTP/1.1\r\nHost: a\r\n\r\n")
            assert is_cut(silent) and is_cut(head)
            assert time.monotonic() - begin < 4 * LIMIT_S
            time.sleep(LIMIT_S)
            received = 0
            with contextlib.suppress(ConnectionError):
                while content := reader.recv(1 << 20):
                    received += len(content)
            assert received < 64 << 20


def test_one_connection_more_takes_the_place_of_the_oldest() -> None:
    with guarded(most=3) as port:
        opened = []
        for _ in range(8):
            opened.append(socket.create_connection(("127.0.0.1", port), timeout=10))
            time.sleep(0.02)
        begin = time.monotonic()
        assert all(is_cut(connection) for connection in opened[:5])
        assert time.monotonic() - begin < LIMIT_S
        opened[-1].sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert opened[-1].recv(100).startswith(b"HTTP/1.1 200")
        for connection in opened:
            connection.close()


def test_connections_without_a_tls_handshake_are_counted_and_cut(certificate: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    trust = ssl.create_default_context(cafile=certificate / "cert.pem")

    def get(port: int) -> int:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=trust)
        connection.request("GET", "/")
        status = connection.getresponse().status
        connection.close()
        return status

    with guarded(most=3, tls=tls) as port:
        assert get(port) == 200
        opened = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(20)]
        begin = time.monotonic()
        assert all(is_cut(connection) for connection in opened[:17])
        assert time.monotonic() - begin < LIMIT_S
        assert get(port) == 200
        assert all(is_cut(connection) for connection in opened[17:])
        for connection in opened:
            connection.close()


def test_limits_of_connections_leave_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = protection.resource.RLIM_INFINITY
    monkeypatch.setattr(protection.resource, "getrlimit", lambda which: (limit, limit))
    assert connection_limits().rest == protection.MOST_CONNECTIONS
    limit = 1024
    found = connection_limits()
    assert found.rest + found.grpc + found.metrics <= 1024 - protection.KEPT_DESCRIPTORS
    limit = 200
    with pytest.raises(OutputError, match="may open 200 files"):
        connection_limits()


@pytest.mark.parametrize(
    ("host", "own"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("localhost", True), ("0.0.0.0", False), ("10.0.0.1", False)],
)
def test_loopback(host: str, own: bool) -> None:
    assert is_loopback(host) == own
