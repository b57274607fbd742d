"""Guards before MLServer's REST and gRPC services: who may ask, how much, and for how long.

Each kind of guard is one class: `Guard` for REST and metrics (an ASGI application around another),
`GrpcGuard` for gRPC (an interceptor), `WatchedConnection` for what a client does before its request is there.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any

import grpc
import msgspec
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from uvicorn.protocols.http.h11_impl import H11Protocol

from edgekit.errors import EdgekitError
from edgekit.serving.protection import Protection

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Paths that balancers and orchestrators read without a key, and the page, which names no model and asks for
# the key.
OPEN_PATHS = ("/v2/health/live", "/v2/health/ready", "/", "/v2/docs")
OPEN_METHODS = ("/inference.GRPCInferenceService/ServerLive", "/inference.GRPCInferenceService/ServerReady")
REPOSITORY_PATH = "/v2/repository"
REPOSITORY_IS_OFF = "the repository API is off; edgekit serve --admin opens it"
NO_KEY = "an API key is needed: Authorization: Bearer KEY"
# zlib's window sizes by content encoding: gzip with its header, zlib's own.
WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
# Time that a connection lives beyond the time limit of a request, so that the request's answer goes first.
MARGIN_S = 5.0
# Time limit of a TLS handshake, and of the first message over gRPC.
HANDSHAKE_S = 20.0
MOST_DETAILS = 1000
DRAINED_TIMES = 4
_STATUSES: dict[int | None, grpc.StatusCode] = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    503: grpc.StatusCode.RESOURCE_EXHAUSTED,
}
_log = logging.getLogger("mlserver.edgekit")


class _Refused(Exception):
    """A request is answered with an error before the application sees it."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class _Body:
    """Body of a request as it arrives.

    Attributes:
        more: False where all of it has been read, or the client has gone away.
    """

    def __init__(self, headers: dict[bytes, bytes], receive: Receive) -> None:
        self._receive = receive
        self.more = b"content-length" in headers or b"transfer-encoding" in headers

    async def part(self) -> bytes:
        message = await self._receive()
        self.more = message["type"] == "http.request" and message.get("more_body", False)
        return bytes(message.get("body", b""))


class Guard:
    """ASGI application that lets allowed requests through to another, with their bodies whole and unpacked.

    Args:
        app: The other application.
        protection: Keys and time limits.
        max_body_bytes: Maximum size of a body before and after unpacking, bytes.
    """

    def __init__(self, app: Any, *, protection: Protection, max_body_bytes: int) -> None:
        self._app = app
        self._protection = protection
        self._most = max_body_bytes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await asyncio.wait_for(self._answer(scope, receive, watched), self._protection.timeout_s)
        except asyncio.TimeoutError:
            if not started:
                reason = f"no whole request and answer within {self._protection.timeout_s:g} s"
                await _refuse(send, _Refused(408, reason))
        except asyncio.CancelledError:
            if not started:
                await _refuse(send, _Refused(503, "the service ends"))

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        body = _Body(headers, receive)
        try:
            self._check(scope["path"], headers)
            content = await self._read(body, headers)
        except _Refused as refused:
            # A client cut off while it sends never reads the answer: a part of the rest is read and dropped.
            dropped = 0
            while body.more and dropped < DRAINED_TIMES * self._most:
                dropped += len(await body.part())
            await _refuse(send, refused)
            return
        replayed = False

        async def replay() -> Message:
            nonlocal replayed
            if replayed:
                return await receive()
            replayed = True
            return {"type": "http.request", "body": content, "more_body": False}

        # Unpacked already.
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"content-encoding"]
        await self._app(scope, replay, send)

    def _check(self, path: str, headers: dict[bytes, bytes]) -> None:
        if path not in OPEN_PATHS and not self._protection.allows(headers.get(b"authorization")):
            raise _Refused(401, NO_KEY)
        if path.startswith(REPOSITORY_PATH) and not self._protection.admin:
            raise _Refused(403, REPOSITORY_IS_OFF)
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._most:
            raise self._too_large()

    def _too_large(self) -> _Refused:
        return _Refused(413, f"the request is larger than {self._most} bytes")

    async def _read(self, body: _Body, headers: dict[bytes, bytes]) -> bytes:
        encoding = headers.get(b"content-encoding", b"identity").decode("latin-1").strip().lower()
        if encoding != "identity" and encoding not in WINDOWS:
            raise _Refused(415, f"the body's encoding is {encoding[:20]!r}; gzip and deflate are known")
        parts: list[bytes] = []
        size = 0
        while body.more:
            parts.append(await body.part())
            size += len(parts[-1])
            if size > self._most:
                raise self._too_large()
        content = b"".join(parts)
        if encoding == "identity" or not content:
            return content
        # In another thread, because 32 MB take a tenth of a second.
        return await asyncio.get_running_loop().run_in_executor(
            None, self._unpack, content, WINDOWS[encoding]
        )

    def _unpack(self, content: bytes, window: int) -> bytes:
        unpacker = zlib.decompressobj(window)
        try:
            unpacked = unpacker.decompress(content, self._most + 1)
        except zlib.error as error:
            raise _Refused(400, f"unpacking the body: {error}") from error
        if len(unpacked) > self._most:
            raise self._too_large()
        if not unpacker.eof or unpacker.unused_data:
            raise _Refused(400, "unpacking the body: it is cut, or goes on behind its end")
        return unpacked


async def _refuse(send: Send, refused: _Refused) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    if refused.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    body = msgspec.json.encode({"error": refused.reason})
    await send({"type": "http.response.body", "body": body})


class WatchedConnection(H11Protocol):
    """HTTP connection that is cut where no answer is complete for too long, or where there are too many.

    uvicorn has no limit on the time in which a client sends the head of a request or reads an answer.

    Args:
        most: Maximum number of connections of its server. One more takes the place of the connection that has
            waited longest for a request.
        limit_s: Maximum time between two answers, s.
        tls: Context for TLS; None without. uvicorn's own TLS tells of a connection after the handshake only,
            so that connections without one would be neither counted nor cut.
    """

    def __init__(self, *, most: int, limit_s: float, tls: ssl.SSLContext | None = None, **given: Any) -> None:
        super().__init__(**given)
        self._most_connections = most
        self._limit_s = limit_s
        self._watch: asyncio.TimerHandle | None = None
        self._tls = tls
        self._early: list[bytes] | None = None if tls is None else []
        self._handshake: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()
        if self._tls is not None:
            self._handshake = self.loop.create_task(self._secure(transport, self._tls))
        if len(self.connections) > self._most_connections:
            waiting = [one for one in self.connections if isinstance(one, WatchedConnection) and one.is_idle]
            min(waiting, key=lambda one: one.until_s).cut()

    async def _secure(self, transport: asyncio.Transport, tls: ssl.SSLContext) -> None:
        """Do the handshake; bytes that arrive at its end wait in `_early` until the transport is changed."""
        try:
            secured = await self.loop.start_tls(
                transport, self, tls, server_side=True, ssl_handshake_timeout=HANDSHAKE_S
            )
        except (OSError, asyncio.TimeoutError):
            secured = None
        if secured is None or transport.is_closing():
            self.cut()
            return
        super().connection_made(secured)
        early, self._early = b"".join(self._early or []), None
        if early:
            self.data_received(early)

    def data_received(self, data: bytes) -> None:
        if self._early is None:
            super().data_received(data)
        else:
            self._early.append(data)

    def cut(self) -> None:
        """End the connection at once; in a handshake nobody tells of its end."""
        self.connections.discard(self)
        if self._watch is not None:
            self._watch.cancel()
        if self._handshake is not None:
            self._handshake.cancel()
        self.transport.abort()

    @property
    def is_idle(self) -> bool:
        """True where no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def until_s(self) -> float:
        """Time of the loop's clock at which the connection is cut, s."""
        return 0.0 if self._watch is None else self._watch.when()

    def on_response_complete(self) -> None:
        self._wait()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._watch = self.loop.call_later(self._limit_s, self.cut)


class GrpcGuard(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Interceptor that lets allowed calls through, with a time limit, and turns errors into status codes.

    Args:
        protection: Keys and time limits.
    """

    def __init__(self, protection: Protection) -> None:
        self._protection = protection

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        method = handler_call_details.method
        metadata = dict(handler_call_details.invocation_metadata)
        given = metadata.get("authorization", "")
        key = given if isinstance(given, bytes) else given.encode()
        if method not in OPEN_METHODS and not self._protection.allows(key):
            return _refusal(grpc.StatusCode.UNAUTHENTICATED, NO_KEY)
        if "Repository" in method and not self._protection.admin:
            return _refusal(grpc.StatusCode.PERMISSION_DENIED, REPOSITORY_IS_OFF)
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_streaming or handler.response_streaming:
            return None
        # Received as a stream of one message: this way the wait for it has a limit, and a message that is no
        # protocol buffer is the client's error.
        return grpc.stream_unary_rpc_method_handler(
            partial(self._answer, handler), response_serializer=handler.response_serializer
        )

    async def _answer(self, handler: Any, requests: Any, context: Any) -> Any:
        limit_s = self._protection.timeout_s
        try:
            return await asyncio.wait_for(_call(handler, requests, context), limit_s)
        except asyncio.TimeoutError:
            code, reason = grpc.StatusCode.DEADLINE_EXCEEDED, f"no answer within {limit_s:g} s"
        except DecodeError as error:
            code, reason = grpc.StatusCode.INVALID_ARGUMENT, f"the message is no request: {error}"
        except EdgekitError as error:
            code, reason = grpc.StatusCode.INTERNAL, error.message
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            # MLServer's errors have the status that they have over REST.
            status = getattr(error, "status_code", None)
            if status is None:
                _log.exception("a call failed")
            code, reason = _STATUSES.get(status, grpc.StatusCode.INTERNAL), str(error)
        return await context.abort(code, reason[:MOST_DETAILS])


async def _call(handler: Any, requests: Any, context: Any) -> Any:
    async for content in requests:
        return await handler.unary_unary(handler.request_deserializer(content), context)
    raise DecodeError("there is no message")


def _refusal(code: grpc.StatusCode, reason: str) -> Any:
    async def refuse(requests: Any, context: Any) -> None:
        await context.abort(code, reason)

    return grpc.stream_unary_rpc_method_handler(refuse)
