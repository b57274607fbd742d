"""Errors of an adb server that misbehaves: another program on its port, or a broken network."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from edgekit.errors import ToolError
from edgekit.transports.adb_server import AdbServer

Answer = Callable[[socket.socket], None]


@contextlib.contextmanager
def _answering(answer: Answer) -> Iterator[AdbServer]:
    """A server that reads one request and answers as it is told."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError), listener.accept()[0] as connection:
                connection.recv(1000)
                answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield AdbServer(port=listener.getsockname()[1], remote=True)
    thread.join(10)
    assert not thread.is_alive()


def _drip(connection: socket.socket) -> None:
    connection.sendall(b"OKAY0040")
    for _ in range(0x40):
        time.sleep(0.2)
        connection.sendall(b"x")


def test_a_server_that_drips_has_one_deadline() -> None:
    started = time.monotonic()
    with _answering(_drip) as server, pytest.raises(ToolError) as raised:
        server.ask("host:devices-l", timeout_s=1.0)
    assert time.monotonic() - started < 3
    assert str(server) in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize(
    "answer", [b"OKAYzzzz", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"FAIL\xff\xff\xff\xff", b""]
)
def test_a_server_that_answers_rubbish_is_no_bug(answer: bytes) -> None:
    with (
        _answering(lambda connection: connection.sendall(answer)) as server,
        pytest.raises(ToolError, match=r"asking the adb server at 127\.0\.0\.1"),
    ):
        server.devices()


@pytest.mark.parametrize(
    "text", [b"\xff\xfe\xfd\xfc", b"\xff\xfe \xfd\xfc", b"serial", b"a device\n\xff\n", b"1 2"]
)
def test_a_list_that_is_none_is_not_read_as_no_device(text: bytes) -> None:
    answer = f"OKAY{len(text):04x}".encode() + text
    with (
        _answering(lambda connection: connection.sendall(answer)) as server,
        pytest.raises(
            ToolError, match=r"listing the devices of the adb server at 127\.0\.0\.1:\d+: it answered"
        ),
    ):
        server.devices()


def test_a_device_without_a_serial_number_keeps_its_state() -> None:
    text = (
        b"(no serial number)     unauthorized usb:1-2 transport_id:3\n"  # invented after adb's transport.cpp
    )
    answer = f"OKAY{len(text):04x}".encode() + text
    with _answering(lambda connection: connection.sendall(answer)) as server:
        (device,) = server.devices()
    assert (device.serial, device.state) == ("(no serial number)", "unauthorized")
