"""Registry of the engines in `edgekit.engines` and in other installed packages.

An engine of another package is a module with RECORD and ENGINE that the package announces in the entry
point group `edgekit.engines`, or that is passed to `register`.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import pkgutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import msgspec

import edgekit.engines
from edgekit._packages import entry_points
from edgekit.core.artifact import ArtifactKind
from edgekit.core.spec import Precision
from edgekit.engines.spec import DeviceSide, EngineSpec, HostRung, HostSide, NativeRunner, Package, Wheel
from edgekit.errors import ToolError, UnsupportedError, UsageError

ENTRY_POINTS = "edgekit.engines"
WORKER = Path(__file__).parent / "worker"

# Default engines: of predict and serve on this machine, of all commands on a device, and of a build of the
# native runner, which needs no library at build time.
PREDICT_ENGINE, DEVICE_ENGINE, BUILD_ENGINE = "onnxruntime", "paddlelite", "onnxruntime"

_registered: dict[str, EngineSpec] = {}


def register(module: ModuleType) -> EngineSpec:
    """Add an engine until this process ends.

    Raises:
        ToolError: RECORD is missing or wrong, or another engine has the same name or one of its rungs.
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
    names = {each.name for each in pkgutil.iter_modules(edgekit.engines.__path__)} - {
        "registry",
        "spec",
        "worker",
    }
    found = [_read(importlib.import_module(f"edgekit.engines.{name}")) for name in sorted(names)]
    return {spec.name: spec for spec in found}


@functools.lru_cache(maxsize=1)
def _installed() -> dict[str, EngineSpec]:
    """Return the engines of other packages. Raises ToolError for a broken one."""
    found = dict(_own())
    for point in entry_points(ENTRY_POINTS):
        try:
            module = point.load()
        except Exception as error:  # a module of another package may raise anything
            raise ToolError(
                f"loading the engine {point.value}: {type(error).__name__}: {error}",
                hint="upgrade or uninstall the package that announces it",
            ) from error
        spec = _read(module)
        _check_unique(spec, found.values())
        found[spec.name] = spec
    return found


def engines() -> dict[str, EngineSpec]:
    """Return all engines by name. Raises ToolError for a broken engine of another package."""
    return {**_installed(), **_registered}


def engine(name: str) -> EngineSpec:
    """Return the engine with a name. Raises UsageError with the nearest name."""
    found = _known(name)
    if found is not None:
        return found
    import difflib

    near = difflib.get_close_matches(name, engines(), n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    raise UsageError(f"engine {name!r}: there is none{meant}", hint=f"one of {', '.join(engines())}")


def host_engines() -> tuple[str, ...]:
    """Return the names of the engines that run on this machine."""
    return tuple(name for name, spec in engines().items() if spec.host is not None)


def profiled_engines() -> tuple[str, ...]:
    """Return the names of the engines that time their layers on this machine."""
    return tuple(name for name, spec in engines().items() if spec.host and spec.host.layer_times)


def device_engines() -> tuple[str, ...]:
    """Return the names of the engines that run on devices."""
    return tuple(name for name, spec in engines().items() if spec.device is not None)


def native_engines() -> tuple[str, ...]:
    """Return the names of the engines that a native runner runs on devices."""
    return tuple(name for name, spec in engines().items() if spec.device and spec.device.native is not None)


def wheel_engines() -> tuple[str, ...]:
    """Return the names of the engines that the worker runs on devices."""
    return tuple(name for name, spec in engines().items() if spec.device and spec.device.wheel is not None)


def app_engines() -> tuple[str, ...]:
    """Return the names of the engines that the Android app has a flavour of."""
    return tuple(name for name, spec in engines().items() if spec.app_formats)


def _known(name: str) -> EngineSpec | None:
    # Ask edgekit's own engines first: the search for other packages takes some milliseconds.
    return _own().get(name) or engines().get(name)


def on_gpu(name: str) -> bool:
    """Return True for an engine that computes on a GPU of this machine."""
    spec = _known(name)
    return spec is not None and spec.host is not None and spec.host.gpu


def bench_engine() -> str:
    """Return the engine that measures this machine by default: Paddle's where it is installed."""
    own = host_side("paddle").packages
    return "paddle" if any(importlib.util.find_spec(each.module) for each in own) else PREDICT_ENGINE


def host_side(name: str) -> HostSide:
    """Return an engine's host side. Raises UsageError for an unknown or device-only engine."""
    side = engine(name).host
    if side is None:
        raise UsageError(
            f"engine {name}: runs on devices only", hint=f"on the host: {', '.join(host_engines())}"
        )
    return side


def device_side(name: str) -> DeviceSide:
    """Return an engine's device side. Raises UsageError for an unknown or host-only engine."""
    side = engine(name).device
    if side is None:
        raise UsageError(
            f"engine {name}: runs on the host only", hint=f"on devices: {', '.join(device_engines())}"
        )
    return side


def native_runner(name: str) -> NativeRunner:
    """Return the native runner of an engine. Raises UsageError for an engine without one."""
    native = device_side(name).native
    if native is None:
        raise UsageError(
            f"engine {name}: has no native runner", hint=f"with one: {', '.join(native_engines())}"
        )
    return native


def device_wheel(name: str) -> Wheel:
    """Return the wheel of an engine that the worker runs on devices. Raises UsageError for others."""
    wheel = device_side(name).wheel
    if wheel is None:
        raise UsageError(f"engine {name}: a native runner runs it on devices, no wheel")
    return wheel


def artifact_kind(
    name: str, side: HostSide | DeviceSide, precision: Precision, options: Mapping[str, str] | None = None
) -> ArtifactKind:
    """Return the kind of artifact that an engine reads at a precision with some options.

    Raises:
        UnsupportedError: The engine does not compute in the precision.
    """
    artifacts = side.artifacts
    words = [f"{option}={value}" for option, value in (options or {}).items()]
    if isinstance(side, DeviceSide):
        artifacts = next((side.by_option[word] for word in words if word in side.by_option), artifacts)
    kind = artifacts.get(precision)
    if kind is not None:
        return kind
    reason = side.refused.get(precision) if isinstance(side, HostSide) else None
    raise UnsupportedError(
        f"{name} at {precision.value}: {reason or 'the engine does not compute in it here'}",
        hint=f"--precision {','.join(one.value for one in artifacts)}",
    )


def host_options(name: str, precision: Precision, asked: Mapping[str, str]) -> dict[str, str]:
    """Return the options to load an engine's worker with: those of `asked` that this engine knows.

    Raises:
        UsageError: The engine does not know a value.
    """
    side = host_side(name)
    chosen = {
        option: one.by_precision[precision]
        for option, one in side.options.items()
        if precision in one.by_precision
    }
    for option, value in asked.items():
        values = side.choices.get(option)
        if values is not None:
            chosen[option] = _checked_value(name, option, value, values)
        elif option in option_choices(engine(name)):
            raise UsageError(
                f"{name} on this machine: it has no option {option}", hint="measure with --device"
            )
    return chosen


def device_options(name: str, precision: Precision, asked: Mapping[str, str]) -> dict[str, str]:
    """Return the options to load an engine with on a device, as `host_options`.

    Raises:
        UsageError: The engine does not know a value, or its native runner does not take the option.
    """
    spec, side = engine(name), device_side(name)
    if spec.host is None:
        return {}
    if side.native is None:
        return host_options(name, precision, asked)
    chosen = {}
    for option, value in asked.items():
        if option in side.options:
            chosen[option] = _checked_value(name, option, value, side.choices[option])
        elif option in spec.host.choices:
            raise UsageError(
                f"{name} on a device: its native runner has no option {option}",
                hint="leave it out, or measure with --host",
            )
    return chosen


def _checked_value(name: str, option: str, value: str, values: Sequence[str]) -> str:
    if value not in values:
        raise UsageError(f"{name}: option {option}={value}", hint=f"{option} is one of {', '.join(values)}")
    return value


def option_choices(spec: EngineSpec) -> dict[str, tuple[str, ...]]:
    """Return the options that users can set for an engine here or on devices, the default value first."""
    host = {} if spec.host is None else spec.host.choices
    return {**host, **({} if spec.device is None else spec.device.choices)}


def option_variant(name: str, options: Mapping[str, str]) -> str:
    """Return the options that differ from an engine's defaults as `onednn=off`; empty where none does."""
    spec = _known(name)
    known = {} if spec is None else option_choices(spec)
    changed = (f"{key}={options[key]}" for key in known if options.get(key, known[key][0]) != known[key][0])
    return ",".join(changed)


def check_engine_options(options: Iterable[str], asked: Collection[str]) -> None:
    """Raise UsageError for an option that none of the engines has."""
    for name in options:
        owners = [owner for owner, spec in engines().items() if name in option_choices(spec)]
        if not set(owners) & set(asked):
            raise UsageError(
                f"--engine-option {name}: none of {', '.join(asked)} has it",
                hint=f"it belongs to {', '.join(owners)}" if owners else _option_list(),
            )


def _option_list() -> str:
    """Return all engine options that users can set, for a hint."""
    known = [f"{option} ({name})" for name, spec in engines().items() for option in option_choices(spec)]
    return f"the options are {', '.join(known)}"


def host_rungs() -> list[tuple[str, HostRung]]:
    """Return the rungs of this machine from the lowest up, each with its engine."""
    rungs = [(spec.name, rung) for spec in engines().values() for rung in spec.rungs]
    return sorted(rungs, key=lambda each: each[1].place)


def rung_engine(kind: ArtifactKind) -> str:
    """Return the engine of the lowest rung that computes an artifact."""
    return next(spec.name for spec, rung in _own_rungs() if rung.artifact is kind)


def _own_rungs() -> list[tuple[EngineSpec, HostRung]]:
    rungs = [(spec, rung) for spec in _own().values() for rung in spec.rungs]
    return sorted(rungs, key=lambda each: each[1].place)


def host_packages() -> dict[str, tuple[Package, ...]]:
    """Return the packages that contain engines of this machine, by module."""
    found: dict[str, list[Package]] = {}
    for spec in engines().values():
        for package in spec.host.packages if spec.host is not None else ():
            known = found.setdefault(package.module, [])
            if package.distribution not in [each.distribution for each in known]:
                known.append(package)
    return {module: tuple(packages) for module, packages in found.items()}
