"""Run the server until it is told to stop."""

from __future__ import annotations

import asyncio
import errno
import itertools
import logging
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError, OutputError, RunnerError, ToolError, UsageError
from edgekit.serving.repository import Listening

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

TOO_LARGE = 413
DRAINED_TIMES = 4


class BodyLimit:
    """ASGI middleware that answers a request with too large a body with 413 before reading all of it."""

    def __init__(self, app: Any, *, max_body_bytes: int) -> None:
        self._app = app
        self._most = max_body_bytes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length")
        if length is not None and length.isdigit() and int(length) > self._most:
            await self._refuse(receive, send)
            return
        # Without a length the body is counted while it arrives, all of it before the application starts:
        # afterwards it is too late to refuse.
        messages: list[Message] = []
        size = 0
        while length is None:
            message = await receive()
            messages.append(message)
            size += len(message.get("body", b""))
            if size > self._most:
                await self._refuse(receive, send)
                return
            if message["type"] != "http.request" or not message.get("more_body"):
                break

        async def replay() -> Message:
            return messages.pop(0) if messages else await receive()

        await self._app(scope, replay, send)

    async def _refuse(self, receive: Receive, send: Send) -> None:
        # A client cut off while it sends never reads the answer, so a part of the rest is read and dropped.
        dropped = 0
        while dropped < DRAINED_TIMES * self._most:
            message = await receive()
            dropped += len(message.get("body", b""))
            if message["type"] != "http.request" or not message.get("more_body"):
                break
        body = f'{{"error":"the request is larger than {self._most} bytes"}}'.encode()
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": TOO_LARGE, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def check_listening(listening: Listening) -> None:
    """Check that the three ports are free.

    Raises:
        UsageError: Two of the ports are equal.
        OutputError: A port is taken, or the host is not an address of this machine.
    """
    ports = {
        "--port": listening.http_port,
        "--grpc-port": listening.grpc_port,
        "--metrics-port": listening.metrics_port,
    }
    for (option, port), (other, same) in itertools.combinations(ports.items(), 2):
        if port == same:
            raise UsageError(f"listening on port {port}: {option} and {other} are the same")
    for option, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((listening.host, port))
            except OSError as error:
                taken = error.errno in (errno.EADDRINUSE, errno.EACCES)
                reason = "in use" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
                raise OutputError(
                    f"listening on {listening.host}:{port}: {reason}",
                    hint=f"edgekit serve NAME {option} PORT, with a free one above 1023" if taken
                    else "edgekit serve NAME --host 127.0.0.1, or another IPv4 address of this machine",
                ) from error  # fmt: skip


def serve(repository: Path, listening: Listening) -> None:
    """Serve a repository that `write_repository` wrote, until SIGINT or SIGTERM; accepted requests are
    answered.

    Raises:
        ToolError: MLServer is not installed.
        EdgekitError: A model did not load.
    """
    try:
        from mlserver.utils import install_uvloop_event_loop
    except ImportError as error:
        raise ToolError(f"serving: {error}", hint="pip install 'edgekit[serve]'") from error
    install_uvloop_event_loop()  # like `mlserver start`
    asyncio.run(_serve(repository, listening))


async def _serve(repository: Path, listening: Listening) -> None:
    from mlserver import MLServer
    from mlserver.cli.serve import load_settings

    settings, models = await load_settings(str(repository))
    server = MLServer(settings)
    server._rest_server._app.add_middleware(BodyLimit, max_body_bytes=listening.max_body_bytes)
    failures: list[Exception] = []
    load = server._model_registry.load

    async def load_or_remember(model: Any) -> Any:
        try:
            return await load(model)
        except Exception as error:
            failures.append(error)
            raise

    server._model_registry.load = load_or_remember
    logging.getLogger("mlserver").addFilter(_without_traceback)
    await server.start(models)
    for failure in failures:
        if isinstance(failure, EdgekitError):
            raise failure
        raise RunnerError(f"serving {', '.join(model.name for model in models)}: {failure}") from failure
    for model in models:
        await server._model_registry.unload(model.name)


def _without_traceback(record: logging.LogRecord) -> bool:
    """Log edgekit's own errors without a traceback where a model could not be loaded."""
    if record.exc_info and isinstance(record.exc_info[1], EdgekitError):
        record.exc_info = None
    return True
