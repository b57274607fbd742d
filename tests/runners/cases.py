"""The runners that the contract holds for. A runner built on this host is one more entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.convert.manifest import load_manifest
from edgekit.core.artifact import ArtifactKind
from edgekit.runners.launch import Launcher, host_launcher
from edgekit.runners.protocol import Load, Tensor


@dataclass(frozen=True)
class RunnerCase:
    """One runner, as the contract's tests start it.

    Attributes:
        engine: The name in its answers.
        kind: The artifact that it reads.
        launcher: How it is started.
        max_threads: The most threads that it takes; None for no limit of its own.
    """

    name: str
    engine: str
    kind: ArtifactKind
    launcher: Callable[[], Launcher]
    max_threads: int | None = None

    def paths(self, directory: Path) -> tuple[Path, Path | None, str]:
        """Model file, parameter file and the model file's hash, in an artifact directory."""
        artifact = load_manifest(directory).artifacts[self.kind.value]
        params = directory / artifact.files[1].path if self.kind.format == "paddle" else None
        return directory / artifact.main_file, params, artifact.files[0].sha256


def _native_onnxruntime() -> Launcher:
    """The native runner, built for this machine against the installed onnxruntime's library."""
    from edgekit.toolchain.build.native import build_runner

    return Launcher(argv=(str(build_runner("onnxruntime", "x86_64", progress=print).path),))


RUNNERS = [
    RunnerCase("paddle", "paddle", ArtifactKind.PADDLE, lambda: host_launcher("paddle")),
    RunnerCase("onnxruntime", "onnxruntime", ArtifactKind.ONNX, lambda: host_launcher("onnxruntime")),
    RunnerCase("native-onnxruntime", "onnxruntime", ArtifactKind.ONNX, _native_onnxruntime),
    RunnerCase("openvino", "openvino", ArtifactKind.ONNX, lambda: host_launcher("openvino")),
    RunnerCase(
        "paddlelite", "paddlelite", ArtifactKind.NB_X86, lambda: host_launcher("paddlelite"), max_threads=1
    ),
]


def picture_load(model: Path | str, shape: tuple[int, ...] = (1, 3, 224, 224), **changes: Any) -> Load:
    """The request that loads a classifier of pictures, whose input is called `x`."""
    inputs = (Tensor(name="x", dtype="float32", shape=shape),)
    return Load(**{"model": str(model), "inputs": inputs, **changes})
