"""The rungs of a parity ladder: what a model's artifacts can be computed with, and what came of each."""

from __future__ import annotations

import enum

import msgspec

from edgekit.core.artifact import ArtifactKind
from edgekit.core.parity import MAX_SIMULATION_ERROR, Parity
from edgekit.engines.registry import engines
from edgekit.engines.registry import host_rungs as rungs_of_engines
from edgekit.errors import ParityError
from edgekit.targets.target import HostTarget, Subject, Target

DYGRAPH = "dygraph"
SAMPLES = "samples"


class RungStatus(enum.Enum):
    """How a rung ended."""

    REFERENCE = "reference"
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class RungResult(msgspec.Struct, frozen=True, kw_only=True):
    """One rung.

    Attributes:
        name: `dygraph`, an artifact's kind, `paddle-int8-simulated`, `KIND@SERIAL` on a device, or
            `samples`.
        engine: What computed it.
        reason: Why it failed or was skipped.
        hint: What to do about that.
    """

    name: str
    engine: str
    status: RungStatus
    parity: Parity | None = None
    reason: str | None = None
    hint: str | None = None


class Ladder(msgspec.Struct, frozen=True, kw_only=True):
    """All rungs of one model."""

    name: str
    directory: str
    reference: str
    inputs: int
    rungs: tuple[RungResult, ...]

    def raise_for_failure(self) -> None:
        """Raise ParityError naming the first rung that broke; nothing where all held."""
        for rung in self.rungs:
            if rung.status is RungStatus.FAILED:
                mend = "quantize {} --calibration DIR" if "int8" in rung.name else "export {} --force"
                raise ParityError(
                    f"model {self.name}: the rung {rung.name} ({rung.engine}) broke: {rung.reason}",
                    hint=rung.hint or f"edgekit {mend.format(self.name)}",
                )


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """One rung to climb: an artifact on an engine of a target.

    Attributes:
        options: Of the engine, over those that the precision asks for.
        below: The rung that it is compared with, where that was climbed; None is the ladder's reference.
        tolerance: Largest relative error from `below` on pictures.
    """

    name: str
    kind: ArtifactKind
    engine: str
    target: Target
    options: dict[str, str] = {}
    below: str | None = None
    tolerance: float | None = None


def host_rungs(subject: Subject, target: HostTarget) -> list[Rung]:
    """The rungs of this machine for the artifacts that the model has."""
    return [
        Rung(name=rung.label, kind=rung.artifact, engine=engine, target=target, options=rung.options)
        for engine, rung in rungs_of_engines()
        if subject.manifest.artifact(rung.artifact) is not None
    ]


def simulations() -> set[str]:
    """Rungs that rungs of devices are compared with in the place of the ladder's reference."""
    return {name for spec in engines().values() if spec.device for name in spec.device.below.values()}


def device_rungs(subject: Subject, target: Target) -> list[Rung]:
    """The rungs of a device for the artifacts that the model has."""
    sides = [(name, spec.device) for name, spec in engines().items() if spec.device is not None]
    return [
        Rung(
            name=f"{kind.value}@{target.info.serial}",
            kind=kind,
            engine=engine,
            target=target,
            below=side.below.get(kind),
            tolerance=MAX_SIMULATION_ERROR if kind in side.below else None,
        )
        for engine, side in sides
        for kind in side.artifacts.values()
        if subject.manifest.artifact(kind) is not None
    ]
