"""The rungs of a parity ladder: one for each artifact and engine, with its result."""

from __future__ import annotations

import enum
from pathlib import Path

import msgspec

from edgekit.convert.manifest import making, remake, word_for
from edgekit.core.artifact import ArtifactKind, Manifest
from edgekit.core.parity import MAX_SIMULATION_ERROR, Parity
from edgekit.core.spec import Precision
from edgekit.engines.registry import engines
from edgekit.engines.registry import host_rungs as rungs_of_engines
from edgekit.errors import ParityError, RunnerError, ToolError
from edgekit.targets.target import HostTarget, Subject, Target

DYGRAPH = "dygraph"
SAMPLES = "samples"


class RungStatus(enum.Enum):
    """Outcome of a rung."""

    REFERENCE = "reference"
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class RungResult(msgspec.Struct, frozen=True, kw_only=True):
    """One rung.

    Attributes:
        name: `dygraph`, an artifact's kind, `paddle-int8-simulated`, `KIND@SERIAL` on a device
            (`KIND/ENGINE@SERIAL` of a further engine that reads the artifact), or `samples`.
        engine: Name of the engine that computed the rung.
        reason: Reason why the rung failed or was skipped.
        hint: Command that mends the reason.
        mismatch: True where the rung was skipped because opt and the runtime are of different versions.
    """

    name: str
    engine: str
    status: RungStatus
    parity: Parity | None = None
    reason: str | None = None
    hint: str | None = None
    mismatch: bool = False


class Ladder(msgspec.Struct, frozen=True, kw_only=True):
    """All rungs of one model."""

    name: str
    directory: str
    reference: str
    inputs: int
    rungs: tuple[RungResult, ...]

    @property
    def parity(self) -> dict[str, Parity]:
        """Return the manifest's parity records by rung; a rung that gave no outputs has no figures."""
        kept = {}
        for rung in self.rungs:
            if rung.parity is not None:
                kept[rung.name] = rung.parity
            elif rung.status is RungStatus.FAILED:
                kept[rung.name] = Parity(
                    reference=self.reference, inputs=0, max_relative_error=None, top1_agreement=0.0,
                    outputs_differ=False, passed=False, reason=rung.reason,
                )  # fmt: skip
        return kept

    def raise_for_failure(self, manifest: Manifest, *, fresh: bool = False) -> None:
        """Raise an error naming the first rung that broke; nothing where all held.

        The error is a ParityError, or a RunnerError where a runner ended without an answer on an artifact of
        an earlier command.

        A rung that was skipped because opt and the runtime are of different versions is a ToolError.

        Args:
            manifest: The model's.
            fresh: True where the artifacts have just been made: making them again gives equal ones.
        """
        for rung in self.rungs:
            if rung.status is RungStatus.FAILED:
                kind = RunnerError if rung.parity is None and not fresh else ParityError
                raise kind(
                    f"model {self.name}: the rung {rung.name} ({rung.engine}) broke: {rung.reason}",
                    hint=rung.hint or self._remedy(rung.name, manifest, fresh),
                )
        for rung in self.rungs:
            if rung.mismatch:
                raise ToolError(
                    f"model {self.name}: the rung {rung.name} ({rung.engine}) was not climbed: {rung.reason}",
                    hint=rung.hint,
                )

    def _remedy(self, rung: str, manifest: Manifest, fresh: bool) -> str:
        """Return the command that makes the artifact anew, or only the artifacts that hold."""
        directory = Path(self.directory)
        if "int8" in rung:
            return f"edgekit quantize {word_for(manifest, directory)} --calibration DIR"
        if manifest.model is not None and not fresh:
            return remake(manifest, directory)
        failed = {one.name for one in self.rungs if one.status is RungStatus.FAILED}
        kinds = [
            kind
            for kind in ArtifactKind
            if kind.value in manifest.artifacts and kind.precision is not Precision.INT8
            and not {kind.value, ArtifactKind.PADDLE.value if kind.format == "nb" else ""} & failed
        ]  # fmt: skip
        if not kinds or failed - {kind.value for kind in ArtifactKind}:
            return remake(manifest, directory, "--keep-failed")
        return remake(manifest, directory, making(kinds))


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """One rung to climb: an artifact on an engine of a target.

    Attributes:
        options: Engine options beyond those of the precision.
        below: Name of the rung to compare with; None, or a rung that was not climbed, stands for the ladder's
            reference.
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
    """Return the rungs of this machine for the artifacts that the model has."""
    return [
        Rung(name=rung.label, kind=rung.artifact, engine=engine, target=target, options=rung.options)
        for engine, rung in rungs_of_engines()
        if subject.manifest.artifact(rung.artifact) is not None
    ]


def simulations() -> set[str]:
    """Return the names of the rungs with which rungs of devices are compared, not with the reference."""
    return {name for spec in engines().values() if spec.device for name in spec.device.below.values()}


def device_rungs(subject: Subject, target: Target) -> list[Rung]:
    """Return the rungs of a device for the artifacts that the model has."""
    rungs: dict[ArtifactKind, list[Rung]] = {}
    sides = [(name, spec.device) for name, spec in engines().items() if spec.device is not None]
    for engine, side in sides:
        for kind in side.artifacts.values():
            if subject.manifest.artifact(kind) is None:
                continue
            of_kind = rungs.setdefault(kind, [])
            name = f"{kind.value}/{engine}" if of_kind else kind.value
            below = side.below.get(kind)
            rung = Rung(
                name=f"{name}@{target.info.serial}",
                kind=kind,
                engine=engine,
                target=target,
                below=below,
                tolerance=None if below is None else MAX_SIMULATION_ERROR,
            )
            of_kind.append(rung)
    return [rung for group in rungs.values() for rung in group]
