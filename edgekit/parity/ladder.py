"""The rungs of a parity ladder: what a model's artifacts can be computed with, and what came of each."""

from __future__ import annotations

import enum

import msgspec

from edgekit.core.artifact import ArtifactKind
from edgekit.core.parity import MAX_SIMULATION_ERROR, Parity
from edgekit.errors import ParityError
from edgekit.runners.engines import ENGINES
from edgekit.targets.target import HostTarget, Subject, Target

DYGRAPH = "dygraph"
SAMPLES = "samples"
# The quantised program as Paddle's own training would compute it: float arithmetic that rounds like int8.
SIMULATION = f"{ArtifactKind.PADDLE_INT8.value}-simulated"
SIMULATION_OPTIONS = {"onednn": "off", "onednn_int8": "off"}
# The host's ladder, bottom up; a rung is climbed where the model has the artifact.
HOST_RUNGS = (
    (ArtifactKind.PADDLE, "paddle"),
    (ArtifactKind.ONNX, "onnxruntime"),
    (ArtifactKind.NB_X86, "paddlelite"),
    (ArtifactKind.PADDLE_INT8, "paddle"),
    (ArtifactKind.ONNX_INT8, "onnxruntime"),
)


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
    rungs = [
        Rung(name=kind.value, kind=kind, engine=engine, target=target)
        for kind, engine in HOST_RUNGS
        if subject.manifest.artifact(kind) is not None
    ]
    if subject.manifest.artifact(ArtifactKind.PADDLE_INT8) is not None:
        kind, engine = ArtifactKind.PADDLE_INT8, "paddle"
        rungs.append(
            Rung(name=SIMULATION, kind=kind, engine=engine, target=target, options=SIMULATION_OPTIONS)
        )
    return rungs


def device_rungs(subject: Subject, target: Target) -> list[Rung]:
    """The rungs of a device for the artifacts that the model has.

    Paddle Lite's int8 stands on the simulation of the program that it was made of.
    """
    sides = [(name, spec.device) for name, spec in ENGINES.items() if spec.device is not None]
    return [
        Rung(
            name=f"{kind.value}@{target.info.serial}",
            kind=kind,
            engine=engine,
            target=target,
            below=SIMULATION if kind is ArtifactKind.NB_ARM_INT8 else None,
            tolerance=MAX_SIMULATION_ERROR if kind is ArtifactKind.NB_ARM_INT8 else None,
        )
        for engine, side in sides
        for kind in side.artifacts.values()
        if subject.manifest.artifact(kind) is not None
    ]
