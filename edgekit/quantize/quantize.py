"""Quantise a model and measure size, agreement and speed of the int8 artifacts at once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from edgekit._files import output_error, scratch_directory
from edgekit.convert.manifest import encode, load_manifest
from edgekit.convert.staging import commit, exclusive, staging_directory
from edgekit.core.accuracy import Drop, Share
from edgekit.core.artifact import MANIFEST_NAME, Artifact, ArtifactKind, Manifest
from edgekit.core.parity import MIN_TOP1_AGREEMENT, rung_artifact
from edgekit.core.spec import Precision
from edgekit.engines.registry import rung_engine
from edgekit.errors import InputError, UnsupportedError
from edgekit.predict.feed import Feed
from edgekit.predict.lanes import batched, plan_route
from edgekit.quantize.agreement import BATCH_SIZE, compare_answers
from edgekit.quantize.artifacts import FORMATS, NB_TARGETS, Calibration, Choice, check_request, quantize
from edgekit.quantize.gate import check_loss, pictures_needed
from edgekit.quantize.recipes import Found
from edgekit.quantize.speed import PROCESSES, Speed, measure_speed
from edgekit.targets.held_back import MOST_INPUTS, write_held_back
from edgekit.targets.target import HostTarget, Subject
from edgekit.tasks.classification import require_classifier
from edgekit.tasks.registry import find_task
from edgekit.vision.lists import read_list
from edgekit.vision.pictures import Picture, find_pictures

# Raised with every change of the fields of `QuantizeResult`.
QUANTIZE_SCHEMA_VERSION = 2
AUTO = "auto"
# Where no others are given, calibration pictures are kept for measuring: every fifth, and as many more as the
# gate needs where enough are left to calibrate with.
HELD_BACK_EVERY = 5
ENOUGH_TO_CALIBRATE = 100
ENGINE_OF = {
    kind: rung_engine(kind)
    for kind in (ArtifactKind.ONNX_INT8, ArtifactKind.PADDLE_INT8, ArtifactKind.MNN_INT8)
}


class QuantizeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Pictures to quantise with, formats, and the limit of the loss.

    Attributes:
        calibration: Directory of pictures from which the ranges of activations are taken.
        held_back: Directory of other pictures to measure on; None keeps pictures of `calibration`.
        list_path: Labels of the held-back pictures (`path label`): accuracy is measured, not agreement.
        formats: Some of `onnx`, `nb`, `mnn`.
        nb_targets: Only `arm` can be had.
        search: Whether settings of the quantisation are measured and the best is taken.
        keep_float: Layers that are not quantised, by the names of their weights; `auto` alone finds them.
        max_drop: Percentage points that Top-1 may fall, or answers differ, at most; the 95 % interval of what
            was lost must lie below.
    """

    calibration: Path
    held_back: Path | None = None
    list_path: Path | None = None
    formats: tuple[str, ...] = FORMATS
    nb_targets: tuple[str, ...] = NB_TARGETS
    search: bool = False
    keep_float: tuple[str, ...] = ()
    max_drop: float = 1.0
    workers: int = 1
    install: bool = True

    @property
    def choice(self) -> Choice:
        """Measurements to make before the model is quantised."""
        auto = self.keep_float == (AUTO,)
        return Choice(
            search=self.search,
            kept_float=() if auto else self.keep_float,
            float_limit=self.max_drop / 100 if auto else None,
        )


class Quantized(msgspec.Struct, frozen=True, kw_only=True):
    """One int8 artifact beside its float parent.

    Attributes:
        size_ratio: Bytes over the float artifact's.
        agreement: Share of held-back pictures with the float artifact's answer, or of the boxes that both
            found; None for an `.nb`, which this machine cannot run: it computes like the `paddle-int8`
            program.
        counted: Plural of what `agreement` counts.
        top1_drop: Against the float artifact, where the pictures have labels.
        speed: Latencies of both; None for an `.nb`.
    """

    kind: ArtifactKind
    size_bytes: int
    size_ratio: float
    agreement: Share | None = None
    counted: str = "pictures"
    top1_drop: Drop | None = None
    speed: Speed | None = None


class QuantizeResult(msgspec.Struct, frozen=True, kw_only=True):
    """The document of `quantize --json`; `found` is None where nothing was searched."""

    schema_version: int = QUANTIZE_SCHEMA_VERSION
    model: str
    directory: str
    calibration_pictures: int
    held_back_pictures: int
    passed_over: tuple[str, ...]
    max_drop: float
    artifacts: tuple[Quantized, ...]
    found: Found | None = None


def quantize_model(
    subject: Subject, settings: QuantizeSettings, *, tell: Callable[[str], None] = lambda message: None
) -> QuantizeResult:
    """Make int8 artifacts, measure them, and put them beside the float ones where they hold.

    Raises:
        UnsupportedError: A target that is known to compute nonsense.
        InputError: No pictures, or no float artifact.
        ConversionError, ToolError: A converter failed or is missing.
        GateError: Beyond `max_drop`, or not shown to be within; the artifact directory is as it was.
        OutputError: The artifact directory cannot be written.
    """
    directory = subject.directory
    check_request(subject, settings.formats, settings.nb_targets, settings.choice)
    if settings.list_path is not None:
        doing = f"measuring by the labels {settings.list_path} for"
        require_classifier(subject.manifest, doing)
        if not find_task(subject.manifest.task).one_class:
            raise UnsupportedError(
                f"{doing} {subject.manifest.name}: a list has one class a picture, the model answers several",
                hint="leave --list out: int8 is then measured by the float model's answers",
            )
    calibration, held_back = _pictures(settings)
    if both := len({*_places(calibration)}.intersection(_places(item for item, _ in held_back))):
        tell(f"{both} held-back pictures are calibration pictures, too: on others int8 may lose more")
    with exclusive(directory):
        manifest = load_manifest(directory)
        with (
            scratch_directory("quantize") as scratch,
            staging_directory(directory) as staging,
        ):
            prepared, passed_over = _preprocess(manifest, calibration, Path(scratch))
            made, found = quantize(
                directory,
                manifest,
                prepared,
                staging,
                formats=settings.formats,
                choice=settings.choice,
                install=settings.install,
                progress=tell,
            )
            tell(f"measuring on {len(held_back)} held-back pictures")
            together = _link(subject, manifest, made, staging, Path(scratch) / "together")
            target = HostTarget(install=settings.install)
            measured, unread = _measure(target, together, made, held_back, settings)
            for one in measured:
                if one.agreement is not None:
                    name = f"{manifest.name}: {one.kind.value}"
                    check_loss(name, one.agreement, one.top1_drop, settings.max_drop, one.counted)
            tell(f"timing float and int8 in {PROCESSES} processes each")
            timed = tuple(
                one
                if one.kind not in ENGINE_OF
                else msgspec.structs.replace(
                    one, speed=measure_speed(target, together, ENGINE_OF[one.kind], Path(scratch))
                )
                for one in measured
            )
            result = QuantizeResult(
                model=manifest.name,
                directory=str(directory),
                calibration_pictures=prepared.shape[0],
                held_back_pictures=len(held_back) - len(unread),
                passed_over=(*passed_over, *unread),
                max_drop=settings.max_drop,
                artifacts=timed,
                found=found,
            )
            _commit(manifest, _with_inputs(manifest, made, held_back, staging), staging, directory)
    return result


def _places(pictures: Iterable[Picture]) -> Iterator[str]:
    return (os.path.realpath(picture.name) for picture in pictures)


def _with_inputs(
    manifest: Manifest,
    made: dict[str, Artifact],
    held_back: Sequence[tuple[Picture, int | None]],
    staging: Path,
) -> dict[str, Artifact]:
    """Keep as many held-back inputs beside the artifacts as `verify` needs to judge int8 by them."""
    wanted = min(len(held_back), MOST_INPUTS, pictures_needed(1 - MIN_TOP1_AGREEMENT[Precision.INT8]))
    chosen = [held_back[index * len(held_back) // wanted][0] for index in range(wanted)]
    feed = Feed(manifest.preprocess, wanted)
    try:
        filled = feed.fill(chosen)
        if not filled.positions:
            return made
        kept = write_held_back(staging, feed.array[: len(filled.positions)])
    except OSError as error:
        raise output_error(staging, error) from error
    finally:
        feed.close()
    return {key: msgspec.structs.replace(artifact, held_back=kept) for key, artifact in made.items()}


def _pictures(settings: QuantizeSettings) -> tuple[list[Picture], list[tuple[Picture, int | None]]]:
    """Calibration pictures, and held-back ones with their labels where there are any."""
    found = [item for item in find_pictures([settings.calibration]) if isinstance(item, Picture)]
    if settings.held_back is None:
        if settings.list_path is not None:
            raise InputError(
                f"quantising: {settings.list_path} labels held-back pictures, but none are given",
                hint="--held-back DIR",
            )
        kept = _kept(len(found), settings.max_drop)
        held_back: list[tuple[Picture, int | None]] = [(found[index], None) for index in kept]
        calibration = [item for index, item in enumerate(found) if index not in kept]
    else:
        calibration = found
        if settings.list_path is None:
            others = find_pictures([settings.held_back])
            held_back = [(item, None) for item in others if isinstance(item, Picture)]
        else:
            root = settings.held_back
            held_back = [
                (Picture(name=str(root / entry.path), source=root / entry.path), entry.label)
                for entry in read_list(settings.list_path, 1 << 31)
            ]
    if not calibration or not held_back:
        where = settings.calibration if not calibration else settings.held_back or settings.calibration
        raise InputError(
            f"quantising: too few pictures below {where}",
            hint="give at least a hundred pictures of the kind that the model will see",
        )
    return calibration, held_back


def _kept(found: int, max_drop: float) -> dict[int, None]:
    """Indices of the pictures to measure on, spread evenly over those that were found, in order."""
    wanted = min(pictures_needed(max_drop / 100), found - ENOUGH_TO_CALIBRATE)
    count = max(-(-found // HELD_BACK_EVERY), wanted)
    return dict.fromkeys(index * found // count for index in range(count))


def _preprocess(
    manifest: Manifest, pictures: Sequence[Picture], scratch: Path
) -> tuple[Calibration, tuple[str, ...]]:
    """Write the calibration inputs into one file, a batch at a time."""
    feed = Feed(manifest.preprocess, BATCH_SIZE)
    path = scratch / "calibration.f32"
    count, passed_over = 0, []
    try:
        with path.open("wb") as file:
            for batch in batched(pictures, BATCH_SIZE):
                filled = feed.fill(batch)
                feed.array[: len(filled.positions)].tofile(file)
                count += len(filled.positions)
                passed_over += [item.error.message for item in filled.unreadable]
    except OSError as error:
        raise output_error(path, error) from error
    finally:
        feed.close()
    if not count:
        raise InputError(f"quantising {manifest.name}: no calibration picture can be read: {passed_over[0]}")
    return Calibration(path=path, shape=(count, *feed.shape[1:])), tuple(passed_over)


def _link(
    subject: Subject, manifest: Manifest, made: dict[str, Artifact], staging: Path, directory: Path
) -> Subject:
    """Float and int8 files in one directory, so that one lane runs them side by side."""
    directory.mkdir()
    for artifact, root in [
        *((artifact, subject.directory) for artifact in manifest.artifacts.values()),
        *((artifact, staging) for artifact in made.values()),
    ]:
        for file in artifact.files:
            with contextlib.suppress(FileExistsError):
                (directory / file.path).symlink_to((root / file.path).absolute())
    for artifact in made.values():
        for file in artifact.files:
            (directory / file.path).unlink()
            (directory / file.path).symlink_to((staging / file.path).absolute())
    merged = msgspec.structs.replace(manifest, artifacts={**manifest.artifacts, **made})
    return Subject(directory=directory, manifest=merged, anyway=subject.anyway)


def _measure(
    target: HostTarget,
    subject: Subject,
    made: dict[str, Artifact],
    held_back: Sequence[tuple[Picture, int | None]],
    settings: QuantizeSettings,
) -> tuple[tuple[Quantized, ...], tuple[str, ...]]:
    """Size and agreement of every artifact, and the errors of unreadable held-back pictures."""
    measured = []
    unread: tuple[str, ...] = ()
    for artifact in made.values():
        kind = artifact.kind
        if kind not in ENGINE_OF:
            parent = subject.artifact(ArtifactKind.PADDLE)
            ratio = artifact.size_bytes / parent.size_bytes
            measured.append(Quantized(kind=kind, size_bytes=artifact.size_bytes, size_ratio=ratio))
            continue
        engine = ENGINE_OF[kind]
        routes = [plan_route(target, subject, engine, one) for one in (Precision.FP32, Precision.INT8)]
        agreed = compare_answers(subject, routes, held_back, settings.workers)
        unread = agreed.unread
        measured.append(
            Quantized(
                kind=kind,
                size_bytes=artifact.size_bytes,
                size_ratio=artifact.size_bytes / routes[0].artifact.size_bytes,
                agreement=agreed.share,
                counted=agreed.counted,
                top1_drop=agreed.drop,
            )
        )
    return tuple(measured), unread


def _commit(manifest: Manifest, made: dict[str, Artifact], staging: Path, directory: Path) -> None:
    artifacts = {**manifest.artifacts, **made}
    ordered = {kind.value: artifacts[kind.value] for kind in ArtifactKind if kind.value in artifacts}
    # What `verify` found of earlier int8 artifacts says nothing of these.
    parity = {rung: found for rung, found in manifest.parity.items() if rung_artifact(rung) not in made}
    changed = msgspec.structs.replace(manifest, artifacts=ordered, parity=parity)
    (staging / MANIFEST_NAME).write_bytes(encode(changed))
    commit(staging, directory)
