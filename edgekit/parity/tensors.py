"""The ladder of models that no runner feeds: several inputs or outputs, or other types than float32.

Runners speak of one float32 input and one output. Here every rung is computed by a process that loads the
model with the engine's own interface, and every output is compared. Engines that only runners drive are
skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from edgekit.core.artifact import Artifact, ArtifactKind, Manifest, Origin, TensorSpec
from edgekit.core.feeds import seeded_feed
from edgekit.core.parity import MAX_RELATIVE_ERROR, Parity, compare
from edgekit.core.spec import Precision
from edgekit.engines.registry import rung_engine
from edgekit.errors import EdgekitError, InputError, ToolError
from edgekit.parity.ladder import Ladder, Rung, RungResult, RungStatus
from edgekit.parity.source import SOURCE, compute_feeds, source_engine
from edgekit.targets.target import Subject

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEEDS = 4
# What is loaded in a process of its own, and the engine that this is.
_ENGINES = {kind: rung_engine(kind) for kind in (ArtifactKind.ONNX, ArtifactKind.PADDLE, ArtifactKind.NB_X86)}

# By output, by feed: all its numbers in a row.
Outputs = list[list["NDArray[Any]"]]


def is_plain(manifest: Manifest) -> bool:
    """Whether runners can feed a model: one float32 input, one float32 output."""
    specs = (*manifest.inputs, *manifest.outputs)
    return len(manifest.inputs) == len(manifest.outputs) == 1 and all(
        spec.dtype == "float32" for spec in specs
    )


def climb_tensors(subject: Subject, rungs: Sequence[Rung], show: Callable[[RungResult], None]) -> Ladder:
    """Compare every output of every artifact with the source's, on seeded inputs.

    Raises:
        InputError: The source is not at hand.
        EdgekitError: The source cannot be computed.
    """
    manifest = subject.manifest
    origin = manifest.origin
    if origin is None:
        raise InputError(
            f"verifying {manifest.name}: it has no source to compare with",
            hint="import it again: an older edgekit did not keep the source",
        )
    wanted = _compute(origin.format, origin, manifest.inputs, subject)
    itself = _judge(manifest, wanted, wanted, Precision.FP32)
    engine = source_engine(origin)
    first = RungResult(name=SOURCE, engine=engine, status=RungStatus.REFERENCE)
    if not itself.passed:
        first = _judged(SOURCE, engine, itself)
    results = [first]
    show(first)
    for rung in rungs:
        results.append(_climb(subject, rung, wanted if itself.passed else None))
        show(results[-1])
    return Ladder(
        name=manifest.name,
        directory=str(subject.directory),
        reference=SOURCE,
        inputs=FEEDS,
        rungs=tuple(results),
    )


def _judged(name: str, engine: str, parity: Parity) -> RungResult:
    status = RungStatus.PASSED if parity.passed else RungStatus.FAILED
    return RungResult(name=name, engine=engine, status=status, parity=parity, reason=parity.reason)


def _climb(subject: Subject, rung: Rung, wanted: Outputs | None) -> RungResult:
    artifact = subject.artifact(rung.kind)
    skipped = None
    if wanted is None:
        skipped = f"there is no {SOURCE} to compare it with"
    elif _ENGINES.get(rung.kind) != rung.engine or "@" in rung.name:
        skipped = f"{rung.engine} is driven by a runner, which feeds one float32 input and reads one output"
    status, hint = RungStatus.SKIPPED, None
    if skipped is None and wanted is not None:
        try:
            outputs = _compute(rung.kind.format, artifact, artifact.inputs, subject)
            return _judged(
                rung.name, rung.engine, _judge(subject.manifest, outputs, wanted, rung.kind.precision)
            )
        except EdgekitError as error:
            skipped, status = error.message, RungStatus.FAILED
            if isinstance(error, ToolError):
                status, hint = RungStatus.SKIPPED, error.hint
    return RungResult(name=rung.name, engine=rung.engine, status=status, reason=skipped, hint=hint)


def _compute(
    format_name: str, owner: Artifact | Origin, inputs: Sequence[TensorSpec], subject: Subject
) -> Outputs:
    """Outputs of the seeded feeds, in the types that an artifact takes."""
    paths = [str(subject.directory.absolute() / file.path) for file in owner.files]
    specs = subject.manifest.inputs
    feeds = [
        [array.astype(spec.dtype) for array, spec in zip(seeded_feed(specs, number), inputs, strict=True)]
        for number in range(FEEDS)
    ]
    computed = compute_feeds(format_name, paths, feeds)
    return [[array.astype(float).reshape(-1) for array in arrays] for arrays in zip(*computed, strict=True)]


def _judge(manifest: Manifest, outputs: Outputs, wanted: Outputs, precision: Precision) -> Parity:
    """The verdict on the output that comes off worst; one output that differs between inputs is enough."""
    if len(outputs) != len(wanted):
        return Parity(
            reference=SOURCE, inputs=FEEDS, max_relative_error=None, top1_agreement=0.0, outputs_differ=True,
            passed=False, reason=f"{len(outputs)} outputs instead of {len(wanted)}",
        )  # fmt: skip
    parities = [
        compare(mine, theirs, precision=precision, reference_name=SOURCE, is_sigmoid=spec.is_sigmoid)
        for mine, theirs, spec in zip(outputs, wanted, manifest.outputs, strict=True)
    ]
    differ = any(parity.outputs_differ for parity in parities)
    limit = MAX_RELATIVE_ERROR[precision]
    for index, parity in enumerate(parities):
        error = parity.max_relative_error
        # An output of its own may well be constant, e.g. a number of boxes.
        right = error is not None and (limit is None or error <= limit)
        if not right or not differ:
            reason = parity.reason if parity.outputs_differ or not differ else f"relative error {error:.2e}"
            return msgspec.structs.replace(parity, passed=False, reason=f"output {index}: {reason}")
    worst = max(parities, key=lambda parity: parity.max_relative_error or 0.0)
    return msgspec.structs.replace(worst, passed=True, reason=None, outputs_differ=True)
