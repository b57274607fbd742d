"""The control socket of a running device: one JSON line asks, one answers.

A Unix socket in the device's directory. It is reached through /proc/self/fd, since a socket's path
may have no more than 107 bytes and caches lie deep.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from edgekit.errors import DeviceError, DeviceLostError
from edgekit.virtual.faults.faults import Fault, FaultName

SOCKET_NAME = "control"
ANSWER_TIMEOUT_S = 10.0


class ArmFault(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="fault"):
    """Arm a fault, or do an act."""

    fault: Fault


class ClearFault(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="clear"):
    """Disarm one fault, or all."""

    name: FaultName | None = None


class GetStatus(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="status"):
    """Ask for the armed faults."""


Request = ArmFault | ClearFault | GetStatus


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """`error` says why a request could not be met; `faults` are those armed afterwards."""

    error: str | None = None
    faults: tuple[Fault, ...] = ()


async def serve_control(directory: Path, handle: Callable[[Request], Answer]) -> asyncio.Server:
    """Answer requests until the server is closed."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                try:
                    answer = handle(msgspec.json.decode(line, type=Request))
                except (msgspec.DecodeError, ValueError) as error:
                    answer = Answer(error=f"not a request: {error}")
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()
        writer.close()

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _reachable(directory) as path:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 - a path through a file descriptor
        listener.bind(path)
    return await asyncio.start_unix_server(converse, sock=listener)


def ask(directory: Path, request: Request) -> Answer:
    """Send one request to the device that lives in `directory`.

    Raises:
        DeviceLostError: It does not answer.
        DeviceError: It refused.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(ANSWER_TIMEOUT_S)
            with _reachable(directory) as path:
                client.connect(path)
            client.sendall(msgspec.json.encode(request) + b"\n")
            with client.makefile("rb") as stream:
                answer = msgspec.json.decode(stream.readline(), type=Answer)
    except (OSError, msgspec.DecodeError, ValueError) as error:
        raise DeviceLostError(
            f"speaking to the virtual device {directory.name}: {error}",
            hint=f"edgekit virtual stop {directory.name}",
        ) from error
    if answer.error is not None:
        raise DeviceError(
            f"virtual device {directory.name}: {answer.error}", hint="edgekit virtual fault --help"
        )
    return answer


@contextlib.contextmanager
def _reachable(directory: Path) -> Iterator[str]:
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{fd}/{SOCKET_NAME}"
    finally:
        os.close(fd)
