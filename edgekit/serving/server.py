"""Run the server until it is told to stop."""

from __future__ import annotations

import asyncio
import ctypes
import importlib.util
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from edgekit.errors import EdgekitError, RunnerError, ToolError
from edgekit.serving.protection import Protection
from edgekit.serving.repository import Listening

# mallopt(3), malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
LARGE_BYTES = 1 << 20
ARENAS = 2


def require_mlserver() -> None:
    """Raise ToolError where MLServer is not installed."""
    if importlib.util.find_spec("mlserver") is None:
        raise ToolError(
            "serving: mlserver is not installed",
            hint="pip install 'edgekit[serve]'"
            if sys.version_info < (3, 13)
            else "mlserver has no release for this Python: python3.12 -m venv serving; "
            "serving/bin/pip install 'edgekit[onnxruntime,serve]'; serving/bin/edgekit serve …",
        )


def serve(
    repository: Path, listening: Listening, protection: Protection, on_ready: Callable[[], object]
) -> None:
    """Serve a repository that `write_repository` wrote, until SIGINT or SIGTERM.

    Accepted requests are answered; connections that are open after the grace are cut.

    Args:
        repository: Directory of the repository.
        listening: Addresses, and the largest request.
        protection: Keys and limits.
        on_ready: Called when all models are served.

    Raises:
        ToolError: MLServer is not installed.
        OutputError: A port is taken.
        EdgekitError: A model did not load.
    """
    _give_memory_back()
    # Clients are told of their own mistakes.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # Kept until the event loop handles signals: an import that is interrupted fails in any way.
    early: list[int] = []
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda number, frame: early.append(number))
    try:
        from mlserver.utils import install_uvloop_event_loop
    except ImportError as error:
        raise ToolError(f"serving: {error}", hint="pip install 'edgekit[serve]'") from error
    if protection.certificate is None:
        # uvloop may read the beginning of a TLS handshake before `start_tls` gets the connection.
        install_uvloop_event_loop()
    try:
        asyncio.run(_serve(repository, listening, protection, on_ready, early))
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _give_memory_back() -> None:
    """Have the C library return freed requests and pictures to the system, not keep them for later ones.

    By default glibc raises the size from which it does so to 32 MB, and has eight arenas a core.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):  # not in musl
        library.mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        library.mallopt(M_TRIM_THRESHOLD, LARGE_BYTES)
        library.mallopt(M_ARENA_MAX, ARENAS)


async def _serve(
    repository: Path,
    listening: Listening,
    protection: Protection,
    on_ready: Callable[[], object],
    early: Sequence[int],
) -> None:
    from mlserver.errors import MLServerError
    from mlserver.repository.factory import ModelRepositoryFactory
    from mlserver.settings import Settings

    from edgekit.serving.listeners import Server

    # MLServer's own `load_settings` puts the working directory before all modules.
    settings = Settings.parse_file(str(repository / "settings.json"))
    settings.model_repository_root = str(repository)
    models = await ModelRepositoryFactory.resolve_model_repository(settings).list()
    server = Server(settings, listening, protection)
    logging.getLogger("mlserver").addFilter(_without_traceback)
    if early:
        return
    try:
        await server.run(models, on_ready)
    except MLServerError as error:
        raise RunnerError(f"serving {', '.join(model.name for model in models)}: {error}") from error


def _without_traceback(record: logging.LogRecord) -> bool:
    """Log edgekit's own errors without a traceback where a model could not be loaded."""
    if record.exc_info and isinstance(record.exc_info[1], EdgekitError):
        record.exc_info = None
    return True
