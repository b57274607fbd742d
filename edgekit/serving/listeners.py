"""MLServer behind edgekit's guards, from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import grpc
import uvicorn
from mlserver import MLServer
from mlserver.grpc.dataplane_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from mlserver.grpc.interceptors import PromServerInterceptor
from mlserver.rest.responses import Response
from mlserver.settings import ModelSettings, Settings
from starlette.requests import Request
from starlette.routing import Route

from edgekit.errors import EdgekitError, OutputError
from edgekit.serving.front import Front
from edgekit.serving.guards import MARGIN_S, GrpcGuard, Guard, WatchedConnection
from edgekit.serving.protection import Protection, connection_limits
from edgekit.serving.repository import Listening, bind
from edgekit.serving.wire import GrpcInference, RestInference

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
# Time at the end for runners to end in good order, s.
RUNNERS_S = 5.0
# Time for a gRPC client's handshake. At the limit new clients wait so long until mute ones are cut:
# gRPC cannot cut the connection that has waited longest, as the REST port does.
GRPC_HANDSHAKE_S = 5.0
# Time for a gRPC client to say something more.
IDLE_MS = 60_000
STREAMS_A_CONNECTION = 128
# asyncio accepts so many connections before the first of them is counted; less than the descriptors kept.
BACKLOG = 64
# Without MLServer's streams, which no model here has, and its pages, which load scripts from elsewhere.
KEPT_ENDPOINTS = ("live", "ready", "metadata", "model_ready", "model_metadata", "index", "load", "unload")
INFER_PATHS = (
    "/v2/models/{model_name}/infer",
    "/v2/models/{model_name}/versions/{model_version}/infer",
)


class _HttpServer(uvicorn.Server):
    """uvicorn without signal handlers of its own, which raise a signal again at the end."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return contextlib.nullcontext()


class Server(MLServer):  # type: ignore[misc]
    """MLServer that serves models until a signal, and ends in time; made within a running event loop.

    Args:
        settings: MLServer's settings.
        listening: Addresses, and the largest request.
        protection: Keys and limits.
    """

    def __init__(self, settings: Settings, listening: Listening, protection: Protection) -> None:
        self._listening = listening
        self._protection = protection
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._grace_of_listeners_s = protection.grace_s - min(RUNNERS_S, protection.grace_s / 2)
        super().__init__(settings)

    def _add_signal_handlers(self) -> None:
        def on_signal() -> None:
            (self._hurry if self._stop.is_set() else self._stop).set()

        for one in ENDING_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(one, on_signal)

    async def run(self, models: Sequence[ModelSettings], on_ready: Callable[[], object]) -> None:
        """Load models and serve them until a signal; a second signal ends at once.

        Args:
            models: Settings of the models.
            on_ready: Called when all models are served.

        Raises:
            OutputError: A port is taken.
            EdgekitError: A model did not load.
        """
        limits, at = connection_limits(), self._listening
        servers = [
            self._http_server(self._rest_app(), limits.rest),
            self._http_server(self._metrics_server._app, limits.metrics),
        ]
        sockets = [bind(at.host, at.http_port, "--port"), bind(at.host, at.metrics_port, "--metrics-port")]
        called = await self._start_grpc(limits.grpc)
        serving = [
            asyncio.create_task(server.serve(sockets=[one]))
            for server, one in zip(servers, sockets, strict=True)
        ]
        loading = asyncio.gather(*[self._model_registry.load(model) for model in models])
        # Where a signal comes first, nobody asks for the error.
        loading.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            await self._before(loading, self._stop)
            if loading.done():
                loading.result()
                on_ready()
                await self._stop.wait()
        finally:
            for server in servers:
                server.should_exit = True
            await self._end([called.stop(self._grace_of_listeners_s), *serving], loading)

    def _rest_app(self) -> Any:
        app = self._rest_server._app
        infer = RestInference(self._data_plane).infer
        app.router.routes[:] = [
            *[Route(path, infer, methods=["POST"]) for path in INFER_PATHS],
            *Front(self._data_plane, self._model_registry).routes(),
            *[route for route in app.router.routes if route.endpoint.__name__ in KEPT_ENDPOINTS],
        ]
        app.add_exception_handler(EdgekitError, _tell)
        return app

    def _http_server(self, app: Any, most_connections: int) -> _HttpServer:
        protection = self._protection
        guard = Guard(app, protection=protection, max_body_bytes=self._listening.max_body_bytes)
        limit_s = protection.timeout_s + MARGIN_S
        tls = None
        if protection.certificate is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(protection.certificate, protection.private_key)
        connection: Any = partial(WatchedConnection, most=most_connections, limit_s=limit_s, tls=tls)
        return _HttpServer(
            uvicorn.Config(
                guard,
                http=connection,
                ws="none",
                backlog=BACKLOG,
                lifespan="off",
                # Clients are told of their own mistakes.
                log_level="error",
                access_log=False,
                timeout_graceful_shutdown=self._grace_of_listeners_s,  # type: ignore[arg-type]
            )
        )

    async def _start_grpc(self, most_connections: int) -> Any:
        at, protection = self._listening, self._protection
        options = {
            "grpc.max_send_message_length": at.max_body_bytes,
            "grpc.max_receive_message_length": at.max_body_bytes,
            # gRPC unpacks a message before it compares its size.
            "grpc.compression_enabled_algorithms_bitset": 1,
            "grpc.max_allowed_incoming_connections": most_connections,
            "grpc.max_concurrent_streams": STREAMS_A_CONNECTION,
            "grpc.server_handshake_timeout_ms": int(1000 * GRPC_HANDSHAKE_S),
            "grpc.max_connection_idle_ms": IDLE_MS,
            # Otherwise a second service shares the port and takes half of the calls.
            "grpc.so_reuseport": 0,
        }
        server = grpc.aio.server(
            interceptors=[PromServerInterceptor(enable_handling_time_histogram=True), GrpcGuard(protection)],
            options=list(options.items()),
        )
        servicer = GrpcInference(self._data_plane, self._model_repository_handlers)
        add_GRPCInferenceServiceServicer_to_server(servicer, server)
        place = f"{at.host}:{at.grpc_port}"
        try:
            if protection.certificate is None or protection.private_key is None:
                server.add_insecure_port(place)
            else:
                pair = (protection.private_key.read_bytes(), protection.certificate.read_bytes())
                server.add_secure_port(place, grpc.ssl_server_credentials([pair]))
        except RuntimeError as error:
            raise OutputError(
                f"listening on {place}: {error}", hint="edgekit serve NAME --grpc-port PORT, with a free one"
            ) from error
        await server.start()
        return server

    async def _end(self, listeners: Sequence[Awaitable[object]], loading: asyncio.Future[Any]) -> None:
        """Answer accepted requests, then end the runners; cut connections that are open after the grace."""
        end = asyncio.get_running_loop().time() + self._protection.grace_s
        models = [model for model in await self._model_registry.get_models() if hasattr(model, "abandon")]
        if not loading.done():
            for model in models:
                model.abandon()
            await asyncio.wait([loading], timeout=RUNNERS_S)
        ending = asyncio.gather(*listeners, return_exceptions=True)
        await self._before(ending, self._hurry, end - RUNNERS_S / 2)
        unloading = asyncio.gather(
            *[self._model_registry.unload(name) for name in list(self._model_registry._models)],
            return_exceptions=True,
        )
        await self._before(unloading, self._hurry, end - RUNNERS_S / 5)
        for model in models:
            model.abandon()
        await asyncio.wait([unloading], timeout=RUNNERS_S / 5)

    async def _before(
        self, work: asyncio.Future[Any], event: asyncio.Event, until: float | None = None
    ) -> None:
        """Wait until work is done, an event is set, or a time of the loop's clock."""
        waiting = asyncio.create_task(event.wait())
        left_s = None if until is None else max(0.0, until - asyncio.get_running_loop().time())
        await asyncio.wait([work, waiting], timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()


async def _tell(request: Request, error: EdgekitError) -> Any:
    return Response({"error": error.message}, status_code=500)
