"""The record of an engine: on which side it runs, what it needs, and which rung it is."""

from __future__ import annotations

import enum

import msgspec

from edgekit.core.artifact import ArtifactKind
from edgekit.core.spec import Precision
from edgekit.errors import PADDLE_REMEDY


class Interpreter(enum.Enum):
    """Python that runs an engine's worker.

    Attributes:
        EDGEKIT: Edgekit's own.
        OPT: That of opt's isolated environment.
        PADDLE: Edgekit's own, or that of Paddle's environment where edgekit's own has no Paddle.
    """

    EDGEKIT = "edgekit"
    OPT = "opt"
    PADDLE = "paddle"


class Library(enum.Enum):
    """Way in which a native runner gets its engine's library: opened at run time, or linked at build time."""

    OPENED = "opened"
    LINKED = "linked"


class Package(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Python package that contains an engine.

    Attributes:
        distribution: Name of the package in the registry.
        module: Name of the module to import.
        also_for: Other uses of the package in edgekit.
    """

    distribution: str
    module: str
    also_for: str | None = None


class Option(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An option of an engine.

    Attributes:
        values: Allowed values, the default first.
        help: Purpose of the option; None where users cannot set it.
        by_precision: Value required for a precision.
    """

    values: tuple[str, ...]
    help: str | None = None
    by_precision: dict[Precision, str] = {}


class HostSide(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Properties of an engine on this machine.

    Attributes:
        artifacts: Kind of artifact that the engine reads, by precision.
        refused: Reasons why the engine must not run a precision, by precision.
        interpreter: Python that runs the engine's worker.
        packages: Packages that contain the engine for edgekit's own Python; one is enough, the first is
            usual.
        install: Command that installs the engine.
        gpu: True where the engine computes on an NVIDIA GPU.
        max_threads: Maximum number of threads; None for any number.
        options: Options of the engine, by name.
        layer_times: True where the engine times each layer, for `profile`.
    """

    artifacts: dict[Precision, ArtifactKind]
    refused: dict[Precision, str] = {}
    interpreter: Interpreter = Interpreter.EDGEKIT
    packages: tuple[Package, ...] = ()
    install: str
    gpu: bool = False
    max_threads: int | None = None
    options: dict[str, Option] = {}
    layer_times: bool = False

    @property
    def remedy(self) -> str:
        """Command that installs the engine for this Python."""
        return PADDLE_REMEDY if self.interpreter is Interpreter.PADDLE else self.install

    @property
    def choices(self) -> dict[str, tuple[str, ...]]:
        """Values of the options that users can set, the default first."""
        return {name: option.values for name, option in self.options.items() if option.help is not None}


class NativeRunner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Native program that runs an engine on a device.

    Attributes:
        backend: Name of the engine's source file in `edgekit/native`; `.cc` is C++.
        library: Way in which the runner gets the engine's library.
        runtime: Name of the toolchain component with the library.
        runtime_module: Module whose `PROVIDER` installs the library.
    """

    backend: str
    library: Library
    runtime: str
    runtime_module: str


class Wheel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Wheel for ARM64 Linux of a package with an engine, which the worker runs on a device.

    Attributes:
        distribution: Name of the package in the registry.
        version: Version that edgekit is tested with.
        sha256: SHA-256 of the wheel of this version for the bundle's Python, hex.
        leave_out: Patterns of the wheel's files that inference does not need; they are not sent.
        features: Features, as the kernel names them, that the wheel's code needs of every core.
    """

    distribution: str
    version: str
    sha256: str
    leave_out: tuple[str, ...] = ()
    features: tuple[str, ...] = ()


class DeviceSide(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Properties of an engine on a device: a native runner or Python's worker runs it, never both.

    Attributes:
        artifacts: Kind of artifact that the engine reads, by precision.
        native: The native runner; None where the worker runs the engine.
        wheel: The package that the worker imports; None where a native runner runs the engine.
        targets: Processors of the devices that the runner runs on.
        options: Options of the native runner, by name; the worker takes those of the host side.
        by_option: Kinds of artifact that replace `artifacts` where an option is set, by `NAME=VALUE`.
        below: Rung that an artifact's rung is compared with, where it is not the ladder's reference.
    """

    artifacts: dict[Precision, ArtifactKind]
    native: NativeRunner | None = None
    wheel: Wheel | None = None
    targets: tuple[str, ...] = ("aarch64",)
    options: dict[str, Option] = {}
    by_option: dict[str, dict[Precision, ArtifactKind]] = {}
    below: dict[ArtifactKind, str] = {}

    def __post_init__(self) -> None:
        if (self.native is None) == (self.wheel is None):
            raise ValueError("a device's engine has either `native` or `wheel`")

    @property
    def choices(self) -> dict[str, tuple[str, ...]]:
        """Values of the native runner's options, the default first."""
        return {name: option.values for name, option in self.options.items()}

    @property
    def kinds(self) -> tuple[ArtifactKind, ...]:
        """Every kind of artifact that the engine reads, whatever its options."""
        others = (kind for kinds in self.by_option.values() for kind in kinds.values())
        return (*self.artifacts.values(), *others)


class HostRung(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rung of the parity ladder that an engine computes on this machine.

    Attributes:
        artifact: Artifact that the rung computes.
        place: Position on the ladder; `verify` climbs in ascending order.
        name: Name of the rung; None for the name of the artifact.
        options: Engine options that replace those required by the precision.
    """

    artifact: ArtifactKind
    place: int
    name: str | None = None
    options: dict[str, str] = {}

    @property
    def label(self) -> str:
        return self.name or self.artifact.value


class EngineSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Description of one engine: RECORD of its file.

    Attributes:
        host: Properties on this machine; None where the engine does not run on it.
        device: Properties on devices; None where the engine does not run on them.
        rungs: Rungs of the ladder that the engine computes on this machine.
        app_formats: Formats that the Android app reads with the engine; empty where the app lacks the engine.
        file: Path of the engine's Python file, with which the worker is started.
    """

    name: str
    summary: str
    host: HostSide | None = None
    device: DeviceSide | None = None
    rungs: tuple[HostRung, ...] = ()
    app_formats: tuple[str, ...] = ()
    file: str = ""
