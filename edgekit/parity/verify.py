"""The parity ladder: the network, its Paddle inference model, and everything made from that."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit.convert.manifest import load_manifest, remake, verify_files, write_manifest
from edgekit.convert.staging import exclusive
from edgekit.core.artifact import Artifact, Manifest, Origin
from edgekit.core.parity import Parity
from edgekit.core.spec import ModelSpec, Precision
from edgekit.errors import (
    EdgekitError,
    InputError,
    MismatchError,
    RunnerError,
    ToolError,
    UnsupportedError,
)
from edgekit.parity import dygraph
from edgekit.parity.inputs import LadderInputs, ladder_inputs, prepare_pictures, sample_pictures
from edgekit.parity.ladder import (
    DYGRAPH,
    SAMPLES,
    Ladder,
    Rung,
    RungResult,
    RungStatus,
    device_rungs,
    host_rungs,
)
from edgekit.parity.reference import compare_answers
from edgekit.parity.source import SOURCE, compute_source, source_engine
from edgekit.parity.tensors import climb_tensors
from edgekit.targets.target import HostTarget, Subject, Target, infer_batches, load_request
from edgekit.tasks.registry import task_of
from edgekit.zoo.registry import find_model, model_names

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.vision.pictures import Picture

Show = Callable[[RungResult], None]


def climb_on_host(
    directory: Path,
    manifest: Manifest,
    *,
    install: bool,
    show: Show,
    spec: ModelSpec | None = None,
    weights: Path | None = None,
) -> Ladder:
    """Climb this machine's ladder for files whose manifest is not written yet; raises as `verify`.

    Args:
        directory: Where the files lie.
        manifest: The manifest of the artifacts.
        install: Whether packages and components of an engine may be installed on the way.
        show: Called with each rung when it is done.
        spec: The card of the network that was exported; None for an imported model.
        weights: The weight file of a model that was exported from one.
    """
    subject = Subject(directory=directory, manifest=manifest, anyway=True)
    rungs = host_rungs(subject, HostTarget(install=install))
    return _climb(subject, spec, rungs, show=show, weights=weights)


def verify_with_devices(
    directory: Path,
    manifest: Manifest,
    devices: Sequence[Target],
    *,
    install: bool,
    show: Show,
    engines: Sequence[str] | None = None,
    weights: Path | None = None,
    pictures: Sequence[Picture] = (),
) -> Ladder:
    """Climb the ladders of this machine and of devices; `engines` chooses among the devices' rungs.

    Raises:
        UnsupportedError, ToolError: Not one of a device's rungs could be climbed.
    """
    subject = Subject(directory=directory, manifest=manifest, anyway=True)
    on_top = [
        rung
        for target in devices
        for rung in device_rungs(subject, target)
        if engines is None or rung.engine in engines
    ]
    rungs = [*host_rungs(subject, HostTarget(install=install)), *on_top]
    ladder = verify(subject, _card(manifest), rungs, show=show, weights=weights, pictures=pictures)
    for target in devices:
        mine = [rung for rung in ladder.rungs if rung.name.endswith(f"@{target.info.serial}")]
        if all(rung.status is RungStatus.SKIPPED for rung in mine):
            why = "; ".join(f"{rung.name}: {rung.reason}" for rung in mine) or "no artifact for its engines"
            hint = next((rung.hint for rung in mine if rung.hint), remake(manifest))
            raise ToolError(f"verifying {manifest.name} on {target.info.serial}: {why}", hint=hint)
    return ladder


def _card(manifest: Manifest) -> ModelSpec | None:
    """The card of a network of the zoo; None for imported models and those of a user's own card."""
    return find_model(manifest.model) if manifest.model in model_names() else None


def verify(
    subject: Subject,
    spec: ModelSpec | None,
    rungs: Sequence[Rung],
    *,
    show: Show,
    weights: Path | None = None,
    pictures: Sequence[Picture] = (),
) -> Ladder:
    """Climb the ladder, show each rung, and record the results in the manifest.

    Every rung computes the same inputs (seeded, `pictures`, and the card's sample pictures) and is compared
    with the network or the model that was imported, or with the rung that it stands on. A rung that breaks
    does not stop the others.

    Args:
        subject: The exported model.
        spec: Its card; None for an imported model, whose source is the first rung then.
        rungs: Those above the first, bottom up.
        show: Called with each rung when it is done.
        weights: The weight file of a model that was exported from one.
        pictures: More inputs, preprocessed as the manifest says.

    Raises:
        InputError: An artifact's files are not those of the manifest.
        ToolError: Nothing could be compared for want of an engine.
        OutputError: The manifest cannot be written.
    """
    verify_files(subject.manifest, subject.directory)
    ladder = _climb(subject, spec, rungs, show=show, weights=weights, pictures=pictures)
    _record(subject, ladder)
    return ladder


def _climb(
    subject: Subject,
    spec: ModelSpec | None,
    rungs: Sequence[Rung],
    *,
    show: Show,
    weights: Path | None = None,
    pictures: Sequence[Picture] = (),
) -> Ladder:
    if not subject.is_plain:
        return _climb_tensors(subject, spec, rungs, show, weights, pictures)
    inputs = ladder_inputs(subject, spec, pictures)
    climb = _Climb(subject, inputs, show)
    origin = subject.manifest.origin
    if spec is not None:
        climb.dygraph(spec, weights)
    elif origin is not None:
        climb.source(origin)
    for rung in rungs:
        climb.rung(rung)
    if spec is not None and subject.manifest.source == "pretrained" and subject.manifest.model == spec.name:
        climb.samples(spec)
    ladder = climb.ladder()
    if not any(rung.parity for rung in ladder.rungs):
        hint = next((rung.hint for rung in ladder.rungs if rung.hint), remake(subject.manifest))
        raise ToolError(
            f"verifying {ladder.name}: nothing could be compared: "
            + "; ".join(f"{rung.name}: {rung.reason or rung.status.value}" for rung in ladder.rungs),
            hint=hint,
        )
    return ladder


def _climb_tensors(
    subject: Subject,
    spec: ModelSpec | None,
    rungs: Sequence[Rung],
    show: Show,
    weights: Path | None,
    pictures: Sequence[Picture],
) -> Ladder:
    """Climb the ladder of a model with several inputs or outputs; pictures are for models of the zoo."""
    if spec is None:
        return climb_tensors(subject, rungs, show)

    def network(feeds: list[list[NDArray[Any]]]) -> list[list[NDArray[Any]]]:
        import numpy

        inputs = numpy.concatenate([feed[0] for feed in feeds])
        outputs = dygraph.compute(subject.manifest, spec, inputs, weights=weights)
        return [[each[number : number + 1] for each in outputs] for number in range(len(feeds))]

    return climb_tensors(
        subject,
        rungs,
        show,
        network=network,
        pictures=prepare_pictures(subject, [*pictures, *sample_pictures(spec)]),
    )


class _Climb:
    """The ladder while it is climbed."""

    def __init__(self, subject: Subject, inputs: LadderInputs, show: Show) -> None:
        self._subject = subject
        self._task = task_of(subject.manifest)
        self._inputs = inputs
        self._show = show
        self._results: list[RungResult] = []
        self._reference: tuple[str, NDArray[np.float32]] | None = None
        # The reference of an imported model is its source or nothing.
        self._is_void = False
        self._outputs: dict[str, NDArray[np.float32]] = {}

    def dygraph(self, spec: ModelSpec, weights: Path | None) -> None:
        try:
            outputs = dygraph.compute(self._subject.manifest, spec, self._inputs.every, weights=weights)
        except (UnsupportedError, ToolError) as error:
            self._end(DYGRAPH, "paddle", RungStatus.SKIPPED, error)
        else:
            rows = outputs[0].reshape(len(outputs[0]), -1)
            self._judge(DYGRAPH, "paddle", rows, slice(None), Precision.FP32)

    def source(self, origin: Origin) -> None:
        """Compute the model that was imported. Raises ToolError: nothing else could be the reference."""
        outputs = compute_source(origin, self._subject, self._inputs.every, HostTarget(install=False))
        self._judge(SOURCE, source_engine(origin), outputs, slice(None), Precision.FP32)
        self._is_void = self._reference is None

    def rung(self, rung: Rung) -> None:
        artifact = self._subject.artifact(rung.kind)
        if self._is_void:
            unknown = UnsupportedError(f"there is no {SOURCE} to compare it with")
            self._end(rung.name, rung.engine, RungStatus.SKIPPED, unknown)
            return
        precision = rung.kind.precision
        # The first rung that computes is what all others are compared with, on every input.
        part = slice(None) if self._reference is None else self._inputs.of(precision)
        try:
            rung.target.prepare(rung.engine)
            outputs = _outputs(self._subject, artifact, rung, self._inputs.every[part])
        except (UnsupportedError, ToolError) as error:
            self._end(rung.name, rung.engine, RungStatus.SKIPPED, error)
        except RunnerError as error:
            self._end(rung.name, rung.engine, RungStatus.FAILED, error)
        else:
            self._compare(rung, outputs, part)
            self._outputs[rung.name] = outputs

    def _compare(self, rung: Rung, outputs: NDArray[np.float32], part: slice) -> None:
        """Judge a rung by the one that it stands on: on everything by class, on pictures by its tolerance.

        Noise drives activations beyond the ranges that pictures calibrated, where rounding is magnified.
        """
        below = None if rung.below is None else self._outputs.get(rung.below)
        if rung.below is None or below is None:
            self._judge(rung.name, rung.engine, outputs, part, rung.kind.precision)
            return
        noise = max(0, self._inputs.seeded - (part.start or 0))
        compared = functools.partial(
            compare_answers,
            self._task,
            precision=rung.kind.precision,
            reference_name=rung.below,
        )
        parity = compared(outputs, below)
        if parity.passed and len(outputs) > noise:
            parity = compared(outputs[noise:], below[noise:], tolerance=rung.tolerance)
        self._add(rung.name, rung.engine, parity)

    def samples(self, spec: ModelSpec) -> None:
        """The reference's answers on the card's pictures against the classes that they show."""
        wanted = [sample.class_id for sample in spec.samples if sample.class_id is not None]
        if not wanted or self._reference is None:
            return
        engine, outputs = self._reference
        shown = outputs[: len(outputs) - self._inputs.held_back]
        found = [int(row.argmax()) for row in shown[-len(wanted) :]]
        agreeing = sum(a == b for a, b in zip(found, wanted, strict=True))
        reason = None if agreeing == len(wanted) else f"pictures show the classes {wanted}, answered {found}"
        parity = Parity(
            reference="labels",
            inputs=len(wanted),
            max_relative_error=None,
            top1_agreement=agreeing / len(wanted),
            outputs_differ=len(set(found)) > 1 or len(wanted) == 1,
            passed=reason is None,
            reason=reason,
        )
        self._add(SAMPLES, engine, parity)

    def ladder(self) -> Ladder:
        return Ladder(
            name=self._subject.manifest.name,
            directory=str(self._subject.directory),
            reference=self._reference[0] if self._reference else "none",
            inputs=len(self._inputs.every),
            rungs=tuple(self._results),
        )

    def _judge(
        self, name: str, engine: str, outputs: NDArray[np.float32], part: slice, precision: Precision
    ) -> None:
        if self._reference is None:
            # Compared with itself, the reference still has to be finite and to depend on its input.
            itself = compare_answers(self._task, outputs, outputs, precision=precision, reference_name=name)
            if itself.passed:
                self._reference = (name, outputs)
                self._end(name, engine, RungStatus.REFERENCE, None)
            else:
                self._add(name, engine, itself)
            return
        reference, wanted = self._reference
        self._add(
            name,
            engine,
            compare_answers(
                self._task,
                outputs,
                wanted[part],
                precision=precision,
                reference_name=reference,
            ),
        )

    def _add(self, name: str, engine: str, parity: Parity) -> None:
        status = RungStatus.PASSED if parity.passed else RungStatus.FAILED
        self._keep(RungResult(name=name, engine=engine, status=status, parity=parity, reason=parity.reason))

    def _end(self, name: str, engine: str, status: RungStatus, error: EdgekitError | None) -> None:
        reason, hint = (None, None) if error is None else (error.message, error.hint)
        mismatch = isinstance(error, MismatchError)
        self._keep(
            RungResult(name=name, engine=engine, status=status, reason=reason, hint=hint, mismatch=mismatch)
        )

    def _keep(self, result: RungResult) -> None:
        self._results.append(result)
        self._show(result)


def _outputs(
    subject: Subject, artifact: Artifact, rung: Rung, inputs: NDArray[np.float32]
) -> NDArray[np.float32]:
    batch_size = artifact.fixed_batch or 1
    label, again = f"{rung.engine} on {subject.manifest.name}", functools.partial(remake, subject.manifest)
    with rung.target.session(rung.engine, label, remake=again) as session:
        options = {**rung.target.options(rung.engine, rung.kind.precision, {}), **rung.options}
        request = load_request(rung.target, subject, artifact, batch_size=batch_size, options=options)
        if not session.shares_files:
            # The store trusts size and time of a file that it checked once; here the runner hashes it again.
            session.check(request.model, artifact.files[0].sha256)
        session.load(request)
        return infer_batches(session, inputs, batch_size)


def _record(subject: Subject, ladder: Ladder) -> None:
    """Put the results of this climb in the manifest; other devices' rungs stay."""
    with exclusive(subject.directory):
        manifest = load_manifest(subject.directory)
        if manifest.artifacts != subject.manifest.artifacts:
            raise InputError(
                f"verifying {ladder.name}: its artifacts were exported anew meanwhile",
                hint=f"edgekit verify {shlex.quote(str(subject.directory))}",
            )
        climbed = {rung.name for rung in ladder.rungs}
        kept = {name: parity for name, parity in manifest.parity.items() if name not in climbed}
        parity = {**kept, **ladder.parity}
        write_manifest(subject.directory, msgspec.structs.replace(manifest, parity=parity))
