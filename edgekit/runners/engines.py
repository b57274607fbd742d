"""The registry of engines: what each runs, where, and how its runner is started.

A new engine is an entry here and a file of `runners/worker` (host) or a backend of `edgekit/native`
(device). Nothing else asks which engine it has.
"""

from __future__ import annotations

import enum
import importlib.util
import logging
import os
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgekit.core.artifact import ArtifactKind
from edgekit.core.spec import Precision
from edgekit.errors import ToolError, UnsupportedError, UsageError

if TYPE_CHECKING:
    from edgekit.toolchain.component import Report

logger = logging.getLogger("edgekit")
WORKER = Path(__file__).parent / "worker"
# From Ampere on NVIDIA's libraries multiply fp32 with ten bits of mantissa (TF32) unless told not to.
FULL_FP32 = {"NVIDIA_TF32_OVERRIDE": "0"}
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


class Interpreter(enum.Enum):
    """Which Python runs an engine's worker."""

    EDGEKIT = "edgekit's own"
    OPT = "that of the isolated environment of paddle_lite_opt"


class HostSide(msgspec.Struct, frozen=True, kw_only=True):
    """An engine on this machine.

    Attributes:
        artifacts: What it reads, by precision.
        refused: Precisions that it must not be given, with the reason.
        interpreter: Which Python runs its worker.
        module: What that Python must be able to import.
        install: The command that provides it.
        gpu: Whether it computes on an NVIDIA GPU.
        max_threads: None where any number may be asked.
        options: The engine's options and their values, the default first.
        precision_options: Options that a precision needs.
    """

    artifacts: dict[Precision, ArtifactKind]
    interpreter: Interpreter = Interpreter.EDGEKIT
    module: str
    install: str
    refused: dict[Precision, str] = {}
    gpu: bool = False
    max_threads: int | None = None
    options: dict[str, tuple[str, ...]] = {}
    precision_options: dict[Precision, dict[str, str]] = {}


class DeviceSide(msgspec.Struct, frozen=True, kw_only=True):
    """An engine on a device, run by a native runner.

    Attributes:
        artifacts: What it reads, by precision.
        runtime: The toolchain component with its library.
    """

    artifacts: dict[Precision, ArtifactKind]
    runtime: str


class EngineSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One engine; `host` and `device` are None where it does not run."""

    name: str
    summary: str
    host: HostSide | None = None
    device: DeviceSide | None = None


class Launcher(msgspec.Struct, frozen=True, kw_only=True):
    """How a runner is started."""

    argv: tuple[str, ...]
    env: dict[str, str] = {}


# Of this machine, as CUDA numbers them.
_GPUS = tuple("01234567")
_ONNX = {Precision.FP32: ArtifactKind.ONNX, Precision.INT8: ArtifactKind.ONNX_INT8}


def _gpu_side(artifact: ArtifactKind, module: str, install: str, *precisions: Precision) -> HostSide:
    """An engine on an NVIDIA GPU: every precision is computed from the float artifact."""
    return HostSide(
        artifacts=dict.fromkeys(precisions, artifact),
        module=module,
        install=install,
        gpu=True,
        options={"device": _GPUS},
        precision_options={Precision.FP16: {"fp16": "on"}},
    )


def _paddle_gpu() -> HostSide:
    install = "install the wheel paddlepaddle-gpu in the place of paddlepaddle"
    return _gpu_side(ArtifactKind.PADDLE, "paddle", install, Precision.FP32, Precision.FP16)


def _onnxruntime_gpu(*precisions: Precision) -> HostSide:
    install = "pip uninstall onnxruntime && pip install 'edgekit[gpu]'"
    return _gpu_side(ArtifactKind.ONNX, "onnxruntime", install, *precisions)


ENGINES: dict[str, EngineSpec] = {
    spec.name: spec
    for spec in (
        EngineSpec(
            name="paddle",
            summary="Paddle Inference, oneDNN kernels",
            host=HostSide(
                artifacts={Precision.FP32: ArtifactKind.PADDLE, Precision.INT8: ArtifactKind.PADDLE_INT8},
                module="paddle",
                install="pip install 'edgekit[paddle]'",
                options={"onednn": ("on", "off")},
                precision_options={Precision.INT8: {"onednn_int8": "on"}},
            ),
        ),
        EngineSpec(
            name="onnxruntime",
            summary="ONNX Runtime",
            host=HostSide(
                artifacts=_ONNX,
                module="onnxruntime",
                install="pip install 'edgekit[onnxruntime]'",
                options={"spinning": ("on", "off")},
            ),
            device=DeviceSide(artifacts=_ONNX, runtime="onnxruntime-runtime"),
        ),
        EngineSpec(
            name="openvino",
            summary="OpenVINO on ONNX, static shapes; float32 arithmetic unless bf16 is asked for",
            host=HostSide(
                artifacts={**_ONNX, Precision.BF16: ArtifactKind.ONNX},
                module="openvino",
                install="pip install 'edgekit[openvino]'",
                precision_options={
                    Precision.BF16: {"arithmetic": "bf16"},
                    Precision.INT8: {"arithmetic": "int8"},
                },
            ),
        ),
        EngineSpec(
            name="paddle-gpu",
            summary="Paddle Inference on an NVIDIA GPU",
            host=_paddle_gpu(),
        ),
        EngineSpec(
            name="paddle-tensorrt",
            summary="Paddle Inference on an NVIDIA GPU with TensorRT",
            host=_paddle_gpu(),
        ),
        EngineSpec(
            name="onnxruntime-cuda",
            summary="ONNX Runtime on an NVIDIA GPU",
            host=_onnxruntime_gpu(Precision.FP32),
        ),
        EngineSpec(
            name="onnxruntime-tensorrt",
            summary="ONNX Runtime on an NVIDIA GPU with TensorRT",
            host=_onnxruntime_gpu(Precision.FP32, Precision.FP16),
        ),
        EngineSpec(
            name="paddlelite",
            summary="Paddle Lite; on the host its x86 kernels, one thread",
            host=HostSide(
                artifacts={Precision.FP32: ArtifactKind.NB_X86},
                refused={
                    Precision.INT8: "Paddle Lite's x86 kernels compute NaN or zeros from quantised models",
                    Precision.FP16: "Paddle Lite's x86 kernels have no fp16",
                },
                interpreter=Interpreter.OPT,
                module="paddlelite",
                install="edgekit toolchain install opt",
                max_threads=1,
            ),
            device=DeviceSide(
                artifacts={
                    Precision.FP32: ArtifactKind.NB_ARM,
                    Precision.FP16: ArtifactKind.NB_ARM_FP16,
                    Precision.INT8: ArtifactKind.NB_ARM_INT8,
                },
                runtime="paddlelite-runtime",
            ),
        ),
    )
}


def engine(name: str) -> EngineSpec:
    """The engine of that name. Raises UsageError with the nearest name."""
    if name in ENGINES:
        return ENGINES[name]
    import difflib

    near = difflib.get_close_matches(name, ENGINES, n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    raise UsageError(f"engine {name!r}: there is none{meant}", hint=f"one of {', '.join(ENGINES)}")


def host_engines() -> tuple[str, ...]:
    """Names of the engines that run on this machine."""
    return tuple(name for name, spec in ENGINES.items() if spec.host is not None)


def device_engines() -> tuple[str, ...]:
    """Names of the engines that run on devices."""
    return tuple(name for name, spec in ENGINES.items() if spec.device is not None)


def on_gpu(name: str) -> bool:
    """Whether an engine computes on a GPU of this machine."""
    spec = ENGINES.get(name)
    return spec is not None and spec.host is not None and spec.host.gpu


def host_side(name: str) -> HostSide:
    """An engine's host side. Raises UsageError for an unknown name or one that runs on devices only."""
    side = engine(name).host
    if side is None:
        raise UsageError(
            f"engine {name}: runs on devices only", hint=f"on the host: {', '.join(host_engines())}"
        )
    return side


def device_side(name: str) -> DeviceSide:
    """An engine's device side. Raises UsageError for an unknown name or one that runs on the host only."""
    side = engine(name).device
    if side is None:
        raise UsageError(
            f"engine {name}: runs on the host only", hint=f"on devices: {', '.join(device_engines())}"
        )
    return side


def artifact_kind(name: str, side: HostSide | DeviceSide, precision: Precision) -> ArtifactKind:
    """What an engine reads at a precision. Raises UnsupportedError with the reason."""
    kind = side.artifacts.get(precision)
    if kind is not None:
        return kind
    reason = side.refused.get(precision) if isinstance(side, HostSide) else None
    raise UnsupportedError(
        f"{name} at {precision.value}: {reason or 'the engine does not compute in it here'}",
        hint=f"--precision {','.join(one.value for one in side.artifacts)}",
    )


def host_options(name: str, precision: Precision, asked: Mapping[str, str]) -> dict[str, str]:
    """The options that an engine's worker is loaded with: those of `asked` that are this engine's.

    Raises:
        UsageError: A value that the engine does not know.
    """
    side = host_side(name)
    chosen = dict(side.precision_options.get(precision, {}))
    for option, value in asked.items():
        if option not in side.options:
            continue
        if value not in side.options[option]:
            raise UsageError(
                f"{name}: option {option}={value}",
                hint=f"{option} is one of {', '.join(side.options[option])}",
            )
        chosen[option] = value
    return chosen


def option_variant(name: str, options: Mapping[str, str]) -> str:
    """`onednn=off` where options differ from an engine's defaults, else empty."""
    spec = ENGINES.get(name)
    known = spec.host.options if spec is not None and spec.host is not None else {}
    changed = (f"{key}={options[key]}" for key in known if options.get(key, known[key][0]) != known[key][0])
    return ",".join(changed)


def host_launcher(
    name: str, *, install: bool = True, huge_pages: bool = False, progress: Report | None = None
) -> Launcher:
    """How to start an engine's worker on this machine.

    Args:
        name: The engine.
        install: Whether the environment of opt may be installed on the way.
        huge_pages: Ask glibc (2.35 and later; others ignore it) for memory in huge pages, in which inference
            on a CPU takes a twentieth less time. What the user has set stays.
        progress: Told what is being installed.

    Raises:
        ToolError: What the engine needs is missing; the hint installs it.
    """
    side = host_side(name)
    worker = (str(WORKER), "--engine", name)
    tuned = HUGE_PAGES if huge_pages and not os.environ.keys() & HUGE_PAGES else {}
    if side.interpreter is Interpreter.OPT:
        # -E: what PYTHONPATH means to edgekit's Python breaks this older one.
        return Launcher(argv=(str(_opt_python(name, side, install, progress)), "-E", *worker), env=tuned)
    if importlib.util.find_spec(side.module) is None:
        raise ToolError(f"engine {name}: the package {side.module} is not installed", hint=side.install)
    return Launcher(argv=(sys.executable, *worker), env={**tuned, **(FULL_FP32 if side.gpu else {})})


def _opt_python(name: str, side: HostSide, install: bool, progress: Report | None) -> Path:
    from edgekit.toolchain.opt.install import require_opt
    from edgekit.toolchain.opt.opt import find_opt

    found = find_opt()
    if found is None and install:
        found = require_opt(install=True, progress=progress or logger.info)
    if found is None:
        raise ToolError(f"engine {name}: Paddle Lite's wheel is not installed", hint=side.install)
    if found.python is None:
        raise ToolError(
            f"engine {name}: opt {found.version} is the standalone binary {found.path}, which runs no models",
            hint="install one of Python 3.6 to 3.10 and run: edgekit toolchain install opt",
        )
    return found.python


def check_engine_options(options: Iterable[str], engines: Collection[str]) -> None:
    """Raises UsageError for an option that none of the engines has."""
    for name in options:
        owners = [engine for engine, spec in ENGINES.items() if spec.host and name in spec.host.options]
        if not set(owners) & set(engines):
            raise UsageError(
                f"--engine-option {name}: none of {', '.join(engines)} has it",
                hint=f"it belongs to {', '.join(owners)}" if owners else None,
            )
