"""Model repository that MLServer reads: `settings.json`, and one `NAME/model-settings.json` a model."""

from __future__ import annotations

import errno
import itertools
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgekit._files import write_atomic
from edgekit.convert.manifest import find_artifacts
from edgekit.core.artifact import Manifest
from edgekit.errors import OutputError, UsageError
from edgekit.serving.answers import Described, describe_tensors, form_of, picture_inputs
from edgekit.serving.runner import ServedModel
from edgekit.targets.target import HostTarget, Subject
from edgekit.tasks.registry import task_of

IMPLEMENTATION = "edgekit.serving.runtime.EdgekitRuntime"
MEGABYTE = 1 << 20
# Inputs and outputs of a model.
_Described = tuple[list[Described], list[Described]]


class Listening(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses of a server, and its largest request.

    Attributes:
        max_body_bytes: Maximum size of one request, REST or gRPC, bytes.
    """

    host: str = "127.0.0.1"
    http_port: int = 8080
    grpc_port: int = 8081
    metrics_port: int = 8082
    max_body_bytes: int = 32 * MEGABYTE


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
        bind(listening.host, port, option).close()


def bind(host: str, port: int, option: str) -> socket.socket:
    """Return a socket at an address; raises OutputError with a hint at the port's option."""
    place = socket.socket()
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        place.bind((host, port))
    except OSError as error:
        place.close()
        taken = error.errno in (errno.EADDRINUSE, errno.EACCES)
        reason = "in use" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise OutputError(
            f"listening on {host}:{port}: {reason}",
            hint=f"edgekit serve NAME {option} PORT, with a free one above 1023" if taken
            else "edgekit serve NAME --host 127.0.0.1, or another IPv4 address of this machine",
        ) from error  # fmt: skip
    return place


def write_repository(
    names: Sequence[str | Path], directory: Path, listening: Listening, served: ServedModel
) -> tuple[Manifest, ...]:
    """Write the repository of exported models; `mlserver start DIRECTORY` can serve it too.

    Returns:
        Manifests of the models.

    Raises:
        UsageError, UnsupportedError: An engine does not exist or does not compute in this precision, or two
            models have one name.
        InputError: A model is not exported, or not for this engine.
        OutputError: The directory cannot be written.
    """
    found = [find_artifacts(name) for name in names]
    taken = [manifest.name for _, manifest in found]
    if len(set(taken)) != len(taken):
        raise UsageError(f"serving {', '.join(taken)}: two models of one name")
    kind = HostTarget().artifact_kind(served.engine, served.precision)
    described = []
    for source, manifest in found:
        described.append(_described(manifest, source, served))
        Subject(directory=source, manifest=manifest, anyway=served.anyway).artifact(kind)
    for (source, manifest), tensors in zip(found, described, strict=True):
        target = directory / manifest.name
        _write(target / "model-settings.json", _model_settings(manifest, source, target, served, tensors))
    _write(directory / "settings.json", _server_settings(listening))
    return tuple(manifest for _, manifest in found)


def _write(path: Path, content: dict[str, Any]) -> None:
    write_atomic(path, msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")


def _server_settings(listening: Listening) -> dict[str, Any]:
    return {
        "debug": False,
        "host": listening.host,
        "http_port": listening.http_port,
        "grpc_port": listening.grpc_port,
        "grpc_max_message_length": listening.max_body_bytes,
        "metrics_port": listening.metrics_port,
        # Each model's runner is already a separate process.
        "parallel_workers": 0,
    }


def _described(manifest: Manifest, source: Path, served: ServedModel) -> _Described:
    task = task_of(manifest, Subject(directory=source, manifest=manifest).labels)
    if not task.takes_pictures:
        return describe_tensors(manifest.inputs), describe_tensors(manifest.outputs)
    return picture_inputs(manifest), form_of(task).describe(task, served.top_k)


def _model_settings(
    manifest: Manifest, source: Path, target: Path, served: ServedModel, described: _Described
) -> dict[str, Any]:
    inputs, outputs = described
    return {
        "name": manifest.name,
        "implementation": IMPLEMENTATION,
        "platform": f"edgekit_{served.engine}",
        "parameters": {
            "uri": os.path.relpath(source.absolute(), target.absolute()),
            "version": manifest.edgekit_version,
            "extra": msgspec.to_builtins(served),
        },
        "inputs": [_tensor(one) for one in inputs],
        "outputs": [_tensor(one) for one in outputs],
    }


def _tensor(described: Described) -> dict[str, Any]:
    return {"name": described.name, "datatype": described.datatype, "shape": list(described.shape)}
