"""Run the server until it is told to stop."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from edgekit.errors import OutputError, RunnerError, ToolError
from edgekit.serving.repository import Listening

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

TOO_LARGE = 413
DRAINED_TIMES = 4


class BodyLimit:
    """ASGI middleware: a request with a larger body is answered 413 before it is read whole."""

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
        # Without a length the body is counted as it comes; all of it, since refusing later is too late.
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
        # A client that is cut off while it sends never reads the answer: some of the rest is dropped.
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


def serve(repository: Path, listening: Listening) -> None:
    """Serve a repository that `write_repository` wrote, until SIGINT or SIGTERM; what is in hand is answered.

    Raises:
        ToolError: MLServer is not installed.
        OutputError: A port is taken.
        RunnerError: A model did not load.
    """
    try:
        import mlserver  # noqa: F401
    except ImportError as error:
        raise ToolError(f"serving: {error}", hint="pip install 'edgekit[serve]'") from error
    for port in (listening.http_port, listening.grpc_port, listening.metrics_port):
        _check_free(listening.host, port)
    asyncio.run(_serve(repository, listening))


def _check_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = "in use" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
            raise OutputError(
                f"listening on {host}:{port}: {reason}", hint="--port, --grpc-port or --metrics-port"
            ) from error


async def _serve(repository: Path, listening: Listening) -> None:
    from mlserver import MLServer
    from mlserver.cli.serve import load_settings

    settings, models = await load_settings(str(repository))
    server = MLServer(settings)
    server._rest_server._app.add_middleware(BodyLimit, max_body_bytes=listening.max_body_bytes)
    failures: list[str] = []
    load = server._model_registry.load

    async def load_or_remember(model: Any) -> Any:
        try:
            return await load(model)
        except Exception as error:
            failures.append(f"{model.name}: {error}")
            raise

    server._model_registry.load = load_or_remember
    await server.start(models)
    for model in models:
        if not failures:
            await server._model_registry.unload(model.name)
    if failures:
        raise RunnerError(f"serving {'; '.join(failures)}", hint="edgekit verify NAME")
