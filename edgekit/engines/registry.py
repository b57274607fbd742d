"""Which engines there are: the records of `edgekit.engines`' files, and of what is installed beside edgekit.

An engine from elsewhere is a module with RECORD and ENGINE that its package announces in the entry point
group `edgekit.engines`, or that `register` is called with.
"""

from __future__ import annotations

import enum
import functools
import importlib
import pkgutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import ModuleType

import msgspec

import edgekit.engines
from edgekit.core.artifact import ArtifactKind
from edgekit.core.spec import Precision
from edgekit.errors import ToolError, UnsupportedError, UsageError

ENTRY_POINTS = "edgekit.engines"
WORKER = Path(__file__).parent / "worker"

# Where none is asked for: predict and serve on this machine, anything on a device, and a build of the native
# runner, which needs no library then.
PREDICT_ENGINE, DEVICE_ENGINE, BUILD_ENGINE = "onnxruntime", "paddlelite", "onnxruntime"


class Interpreter(enum.Enum):
    """Which Python runs an engine's worker: edgekit's own, or that of opt's isolated environment."""

    EDGEKIT = "edgekit"
    OPT = "opt"


class Library(enum.Enum):
    """How a native runner comes to its engine's library: opened when it runs, or linked when it is built."""

    OPENED = "opened"
    LINKED = "linked"


class Package(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Python package that has an engine.

    Attributes:
        distribution: Its name in the package registry.
        module: What is imported.
        also_for: What edgekit uses it for beside the engine.
    """

    distribution: str
    module: str
    also_for: str | None = None


class Option(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An option of an engine.

    Attributes:
        values: The values that it can have, the default first.
        help: What it is for; None where users cannot set it.
        by_precision: The value that a precision needs.
    """

    values: tuple[str, ...]
    help: str | None = None
    by_precision: dict[Precision, str] = {}


class HostSide(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An engine on this machine.

    Attributes:
        artifacts: What it reads, by precision.
        refused: Precisions that it must not be given, with the reason.
        interpreter: Which Python runs its worker.
        packages: Any of them brings the engine to edgekit's own Python; the first is the usual one.
        install: The command that provides it.
        gpu: Whether it computes on an NVIDIA GPU.
        max_threads: None where any number may be asked.
        options: By name.
    """

    artifacts: dict[Precision, ArtifactKind]
    refused: dict[Precision, str] = {}
    interpreter: Interpreter = Interpreter.EDGEKIT
    packages: tuple[Package, ...] = ()
    install: str
    gpu: bool = False
    max_threads: int | None = None
    options: dict[str, Option] = {}

    @property
    def choices(self) -> dict[str, tuple[str, ...]]:
        """Values of the options that users can set, the default first."""
        return {name: option.values for name, option in self.options.items() if option.help is not None}


class DeviceSide(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An engine on a device, run by a native runner.

    Attributes:
        artifacts: What it reads, by precision.
        backend: Its source file in `edgekit/native`; `.cc` is C++.
        library: How the runner comes to the engine's library.
        runtime: The toolchain component with the library.
        runtime_module: The module whose `PROVIDER` installs it.
        below: The rung that an artifact's rung is compared with, where that is not the ladder's reference.
    """

    artifacts: dict[Precision, ArtifactKind]
    backend: str
    library: Library
    runtime: str
    runtime_module: str
    below: dict[ArtifactKind, str] = {}


class HostRung(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rung of the parity ladder that an engine computes on this machine.

    Attributes:
        artifact: What it computes.
        place: Rungs are climbed in ascending order.
        name: None where it is the artifact's.
        options: Of the engine, over those that the precision needs.
    """

    artifact: ArtifactKind
    place: int
    name: str | None = None
    options: dict[str, str] = {}

    @property
    def label(self) -> str:
        return self.name or self.artifact.value


class EngineSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One engine, as RECORD of its file says.

    Attributes:
        host: None where it does not run on this machine.
        device: None where it does not run on devices.
        rungs: Its rungs on this machine.
        app_formats: Formats that the Android app reads with it; empty where the app has no such flavour.
        file: The Python file, which the worker is started with.
    """

    name: str
    summary: str
    host: HostSide | None = None
    device: DeviceSide | None = None
    rungs: tuple[HostRung, ...] = ()
    app_formats: tuple[str, ...] = ()
    file: str = ""


_registered: dict[str, EngineSpec] = {}


def register(module: ModuleType) -> EngineSpec:
    """Add an engine for the rest of this process.

    Raises:
        ToolError: Its RECORD is missing or wrong, or another engine has its name or one of its rungs.
    """
    spec = _read(module)
    others = [each for each in engines().values() if each.file != spec.file]
    _check_unique(spec, others)
    _registered[spec.name] = spec
    return spec


def _read(module: ModuleType) -> EngineSpec:
    place = module.__file__ or module.__name__
    try:
        spec = msgspec.convert(module.RECORD, EngineSpec)
    except AttributeError as error:
        raise ToolError(f"reading the engine {place}: it has no RECORD") from error
    except msgspec.ValidationError as error:
        raise ToolError(f"reading the engine {place}: RECORD: {error}") from error
    return msgspec.structs.replace(spec, file=place)


def _check_unique(spec: EngineSpec, others: Iterable[EngineSpec]) -> None:
    for other in others:
        rungs = {rung.label for rung in spec.rungs} & {rung.label for rung in other.rungs}
        if other.name == spec.name or rungs:
            what = f"the rung {min(rungs)}" if rungs else f"the name {spec.name}"
            raise ToolError(
                f"reading the engine {spec.file}: {what} is that of {other.file}",
                hint="give it another name in RECORD, or uninstall one of the two",
            )


@functools.lru_cache(maxsize=1)
def _own() -> dict[str, EngineSpec]:
    names = {each.name for each in pkgutil.iter_modules(edgekit.engines.__path__)} - {"registry", "worker"}
    found = [_read(importlib.import_module(f"edgekit.engines.{name}")) for name in sorted(names)]
    return {spec.name: spec for spec in found}


@functools.lru_cache(maxsize=1)
def _installed() -> dict[str, EngineSpec]:
    """Engines of other packages. Raises ToolError for one that is broken."""
    import importlib.metadata

    found = dict(_own())
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            module = point.load()
        except Exception as error:  # whatever somebody else's module raises
            raise ToolError(
                f"loading the engine {point.value}: {type(error).__name__}: {error}",
                hint="upgrade or uninstall the package that announces it",
            ) from error
        spec = _read(module)
        _check_unique(spec, found.values())
        found[spec.name] = spec
    return found


def engines() -> dict[str, EngineSpec]:
    """All engines by name. Raises ToolError for a broken one of another package."""
    return {**_installed(), **_registered}


def engine(name: str) -> EngineSpec:
    """The engine of that name. Raises UsageError with the nearest name."""
    found = _known(name)
    if found is not None:
        return found
    import difflib

    near = difflib.get_close_matches(name, engines(), n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    raise UsageError(f"engine {name!r}: there is none{meant}", hint=f"one of {', '.join(engines())}")


def host_engines() -> tuple[str, ...]:
    """Names of the engines that run on this machine."""
    return tuple(name for name, spec in engines().items() if spec.host is not None)


def device_engines() -> tuple[str, ...]:
    """Names of the engines that run on devices."""
    return tuple(name for name, spec in engines().items() if spec.device is not None)


def app_engines() -> tuple[str, ...]:
    """Names of the engines that the Android app has a flavour of."""
    return tuple(name for name, spec in engines().items() if spec.app_formats)


def _known(name: str) -> EngineSpec | None:
    # edgekit's own come first: looking for other packages takes some milliseconds.
    return _own().get(name) or engines().get(name)


def on_gpu(name: str) -> bool:
    """True for an engine that computes on a GPU of this machine."""
    spec = _known(name)
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
    """Return the kind of artifact that an engine reads at a precision. Raises UnsupportedError."""
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
    chosen = {
        option: one.by_precision[precision]
        for option, one in side.options.items()
        if precision in one.by_precision
    }
    for option, value in asked.items():
        values = side.choices.get(option)
        if values is None:
            continue
        if value not in values:
            raise UsageError(
                f"{name}: option {option}={value}", hint=f"{option} is one of {', '.join(values)}"
            )
        chosen[option] = value
    return chosen


def option_variant(name: str, options: Mapping[str, str]) -> str:
    """`onednn=off` where options differ from an engine's defaults, else empty."""
    spec = _known(name)
    known = spec.host.choices if spec is not None and spec.host is not None else {}
    changed = (f"{key}={options[key]}" for key in known if options.get(key, known[key][0]) != known[key][0])
    return ",".join(changed)


def check_engine_options(options: Iterable[str], asked: Collection[str]) -> None:
    """Raises UsageError for an option that none of the engines has."""
    for name in options:
        owners = [owner for owner, spec in engines().items() if spec.host and name in spec.host.choices]
        if not set(owners) & set(asked):
            raise UsageError(
                f"--engine-option {name}: none of {', '.join(asked)} has it",
                hint=f"it belongs to {', '.join(owners)}" if owners else None,
            )


def host_rungs() -> list[tuple[str, HostRung]]:
    """The rungs of this machine, bottom up, each with its engine."""
    rungs = [(spec.name, rung) for spec in engines().values() for rung in spec.rungs]
    return sorted(rungs, key=lambda each: each[1].place)


def rung_engine(kind: ArtifactKind) -> str:
    """The engine that computes an artifact on the ladder, of several the lowest."""
    return next(spec.name for spec, rung in _own_rungs() if rung.artifact is kind)


def _own_rungs() -> list[tuple[EngineSpec, HostRung]]:
    rungs = [(spec, rung) for spec in _own().values() for rung in spec.rungs]
    return sorted(rungs, key=lambda each: each[1].place)


def host_packages() -> dict[str, tuple[Package, ...]]:
    """Packages that engines of this machine are in, by module."""
    found: dict[str, list[Package]] = {}
    for spec in engines().values():
        for package in spec.host.packages if spec.host is not None else ():
            known = found.setdefault(package.module, [])
            if package.distribution not in [each.distribution for each in known]:
                known.append(package)
    return {module: tuple(packages) for module, packages in found.items()}
