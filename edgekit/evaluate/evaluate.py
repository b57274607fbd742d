"""Accuracy of a model's artifacts on pictures with their truth, all of them in one pass over the pictures."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from edgekit import __version__
from edgekit._files import RESULT_BYTES, read_bytes, sha256_file
from edgekit.core.spec import AnswerKind, Precision
from edgekit.errors import EdgekitError, InputError, ParityError, ToolError, UnsupportedError
from edgekit.evaluate.boxes import (
    BOX_EVAL_SCHEMA_VERSION,
    BoxEvalResult,
    SeenBoxes,
    prepare,
    see_boxes,
    tally_boxes,
)
from edgekit.evaluate.journal import Identity, Journal, Record, Seen
from edgekit.evaluate.label_maps import (
    LABEL_MAP_EVAL_SCHEMA_VERSION,
    LabelMapEvalResult,
    SeenAreas,
    read_pairs,
    see_areas,
    tally_areas,
)
from edgekit.evaluate.tally import (
    EVAL_SCHEMA_VERSION,
    EvalResult,
    NothingReadError,
    Skipped,
    is_reference,
    tally,
    write_result,
)
from edgekit.parity.reference import reference_engine
from edgekit.predict.lanes import Route, Scored, batched, open_lanes, plan_route, score_batches
from edgekit.targets.target import HostTarget, Subject, Target
from edgekit.tasks.classification import Classification, ranked_classes, require_answer
from edgekit.tasks.detection import Detection
from edgekit.tasks.registry import find_task
from edgekit.tasks.segmentation import Segmentation
from edgekit.vision.annotations import read_annotations
from edgekit.vision.lists import check_list, count_list, read_list
from edgekit.vision.pictures import Picture

Result = TypeVar("Result", bound=msgspec.Struct)

TOP_K = 5
DEFAULT_BATCH_SIZE = 8

Progress = Callable[[int, int], None]
"""Called with the number of finished pictures and of all pictures."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of an evaluation.

    Attributes:
        data: Directory to which the list's paths are relative.
        list_path: Path of the list, one `path label` a line; of a detection model COCO's instances or a list
            of VOC annotations; of a segmentation model a list of pictures and label maps.
        output: Path of the result file; journal, confusion matrix and disagreements are written beside it.
        engines: Engines of the host, or of devices where a device is given.
        precisions: Precisions to evaluate with every engine.
        threads: Number of threads of each runner.
        batch_size: Number of pictures a batch; None for 8, or the artifacts' fixed batch size.
        workers: Number of lanes that decode and infer in parallel.
        restart: True to start again although a journal exists.
        list_sha256: Hash of the list, by `hash_list`; None to compute it when the evaluation starts.
    """

    data: Path
    list_path: Path
    output: Path
    engines: tuple[str, ...]
    precisions: tuple[Precision, ...] = (Precision.FP32,)
    threads: int = 1
    batch_size: int | None = None
    workers: int = 1
    restart: bool = False
    list_sha256: str | None = None


def hash_list(list_path: Path) -> str:
    """Return the SHA-256 of a list. Raises InputError where it cannot be read or is no list."""
    check_list(list_path)
    return sha256_file(list_path)


def default_output(model: str, list_path: Path, digest: str, directory: Path = Path("results")) -> Path:
    """Return the path of a model's result on the list of this SHA-256: no other list's result has it."""
    stems = itertools.chain(
        [model, f"{model}-{list_path.stem}"], (f"{model}-{n}" for n in itertools.count(2))
    )
    paths = (directory / f"eval-{stem}.json" for stem in stems)
    return next(path for path in paths if _list_of(path) in (None, digest))


def _list_of(path: Path) -> str | None:
    """Return the SHA-256 of the list whose result or journal lies there; None where nothing does."""
    for place in (path, path.with_suffix(".journal")):
        if place.exists():
            try:
                content = read_bytes(place, "the result", most_bytes=RESULT_BYTES)
                first = content if place == path else content.partition(b"\n")[0]
                return msgspec.json.decode(first, type=_OfList).list_sha256
            except (InputError, msgspec.DecodeError, ValueError):
                return "unreadable"
    return None


class _OfList(msgspec.Struct):
    list_sha256: str


def evaluate(
    target: Target,
    subject: Subject,
    plan: Plan,
    *,
    progress: Progress = lambda done, total: None,
    tell: Callable[[str], None] = lambda message: None,
) -> EvalResult | BoxEvalResult | LabelMapEvalResult:
    """Evaluate a model; after an interruption the next call continues from the journal.

    Args:
        target: Machine on which the engines run.
        subject: Model with its artifacts.
        plan: Settings of the evaluation.
        progress: Called after every batch.
        tell: Called with a line for the user about engines left out and about a continued evaluation.

    Returns:
        Result, which is also written to `plan.output`.

    Raises:
        UnsupportedError: No engine can do the request, or the model gives several labels a picture.
        InputError: The list is wrong, none of its pictures can be read, or the model lacks an artifact.
        RunnerError, DeviceError, DeviceLostError: A runner failed.
        OutputError: The results cannot be written.
        ToolError: A package that computes the figures is missing.
    """
    manifest = subject.manifest
    pass_ = _Pass(target, subject, plan, progress, tell)
    labels = subject.labels
    if issubclass(find_task(manifest.task), Detection):
        truth = read_annotations(plan.list_path, plan.data, labels, manifest.num_classes)
        prepare(tell, truth)
        task = Detection(manifest)
        return pass_.run(
            [picture.path for picture in truth.pictures],
            len(truth.pictures),
            SeenBoxes,
            lambda scored: see_boxes(scored, task),
            lambda journal, routes, common: BoxEvalResult(
                schema_version=BOX_EVAL_SCHEMA_VERSION,
                task=manifest.task,
                **common,
                **tally_boxes(journal, routes, truth, manifest, plan.output),
            ),
        )
    if issubclass(find_task(manifest.task), Segmentation):
        pairs = read_pairs(plan.list_path, plan.data)
        label_maps = {str(plan.data / path): label_map for path, label_map in pairs.items()}
        segmentation = Segmentation(manifest)
        return pass_.run(
            pairs,
            len(pairs),
            SeenAreas,
            lambda scored: see_areas(scored, segmentation, label_maps),
            lambda journal, routes, common: LabelMapEvalResult(
                schema_version=LABEL_MAP_EVAL_SCHEMA_VERSION,
                task=manifest.task,
                **common,
                **tally_areas(journal, routes, manifest, labels),
            ),
        )
    require_answer(manifest, "evaluating", AnswerKind.TOPK, AnswerKind.THRESHOLD)
    classification = Classification(manifest)
    return pass_.run(
        (entry.path for entry in read_list(plan.list_path, manifest.num_classes)),
        count_list(plan.list_path, manifest.num_classes),
        Seen,
        lambda scored: _seen(scored, classification),
        lambda journal, routes, common: EvalResult(
            schema_version=EVAL_SCHEMA_VERSION,
            num_classes=manifest.num_classes,
            **common,
            **tally(journal, routes, plan.list_path, subject, plan.output),
        ),
    )


class _Pass:
    """One pass of several routes over the pictures of a list, journalled picture by picture."""

    def __init__(
        self,
        target: Target,
        subject: Subject,
        plan: Plan,
        progress: Progress,
        tell: Callable[[str], None],
    ) -> None:
        self._target = target
        self._subject = subject
        self._plan = plan
        self._progress = progress
        self._tell = tell

    def run(
        self,
        paths: Iterable[str],
        total: int,
        record: type[Record],
        see: Callable[[Scored], Iterator[Record]],
        conclude: Callable[[Journal[Record], Sequence[Route], dict[str, Any]], Result],
    ) -> Result:
        """Compute what the journal lacks, and write the result.

        Args:
            paths: Paths of the pictures below the plan's `data`.
            total: Number of paths.
            record: Type of a picture's result.
            see: Turns a computed batch into results.
            conclude: Makes the result document of a complete journal, the routes, and the fields that
                evaluations of all tasks have.
        """
        subject, plan, target = self._subject, self._plan, self._target
        started_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        if subject.manifest.doubt is not None:
            self._tell(subject.manifest.doubt)
        routes, skipped = _plan_routes(target, subject, plan)
        routes += _reference_route(subject, routes, self._tell)
        batch_size = _batch_size(routes, plan.batch_size)
        identity = Identity(
            list_sha256=plan.list_sha256 or sha256_file(plan.list_path),
            data=str(plan.data.absolute()),
            pictures=total,
            preprocess=msgspec.json.encode(subject.manifest.preprocess).decode(),
            routes=tuple((route.engine, route.precision.value, route.artifact.sha256) for route in routes),
        )
        journal = Journal(plan.output.with_suffix(".journal"), identity, record, restart=plan.restart)
        complete = False
        try:
            if journal.done:
                self._tell(f"going on after {journal.done} of {total} pictures ({journal.path})")
            self._compute(routes, batch_size, journal, paths, total, see)
            common = {
                "edgekit_version": __version__,
                "started_at": started_at,
                "ended_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "model": subject.manifest.name,
                "target": target.info.serial,
                "list_path": str(plan.list_path),
                "list_sha256": identity.list_sha256,
                "data": str(plan.data),
                "threads": plan.threads,
                "batch_size": batch_size,
                "skipped": skipped,
                "weights": subject.manifest.source,
            }
            result = conclude(journal, routes, common)
            write_result(result, plan.output)
            complete = True
        except NothingReadError:
            complete = True  # continuing would fail again
            raise
        finally:
            journal.close(remove=complete)
        return result

    def _compute(
        self,
        routes: Sequence[Route],
        batch_size: int,
        journal: Journal[Record],
        paths: Iterable[str],
        total: int,
        see: Callable[[Scored], Iterator[Record]],
    ) -> None:
        if journal.done == total:
            return
        plan = self._plan
        items = (_picture(plan.data, path) for path in itertools.islice(paths, journal.done, None))
        opened = open_lanes(
            self._subject, routes, workers=plan.workers, threads=plan.threads, batch_size=batch_size
        )
        with (
            opened as lanes,
            contextlib.closing(score_batches(lanes, batched(items, batch_size))) as results,
        ):
            for scored in results:
                journal.append(list(see(scored)))
                self._progress(journal.done, total)


def _plan_routes(target: Target, subject: Subject, plan: Plan) -> tuple[list[Route], tuple[Skipped, ...]]:
    routes, skipped = [], []
    for engine, precision in itertools.product(plan.engines, plan.precisions):
        try:
            route = plan_route(target, subject, engine, precision)
            limit = target.max_threads(engine)
            if limit is not None and plan.threads > limit:
                raise UnsupportedError(f"{engine} runs {limit} thread(s) here, not {plan.threads}")
        except UnsupportedError as error:
            skipped.append(Skipped(engine=engine, precision=precision, reason=error.message))
            continue
        target.prepare(engine)
        routes.append(route)
    if not routes:
        raise UnsupportedError(
            "evaluating: no engine can do what is asked: " + "; ".join(one.reason for one in skipped),
            hint="ask for another --engine or --precision",
        )
    return routes, tuple(skipped)


def _reference_route(subject: Subject, routes: Sequence[Route], tell: Callable[[str], None]) -> list[Route]:
    """Return the reference route for the drop of the others; None where it cannot run or is evaluated anyway.

    The reference is fp32 on this machine: ONNX Runtime for a model from ONNX, else Paddle Inference.
    """
    if any(is_reference(route, subject.manifest) for route in routes):
        return []
    host, engine = HostTarget(install=False), reference_engine(subject.manifest)
    try:
        # An artifact that failed its check is no reference, even with `--anyway`.
        route = plan_route(host, msgspec.structs.replace(subject, anyway=False), engine, Precision.FP32)
        host.prepare(engine)
    except (InputError, ParityError, ToolError) as error:
        tell(f"no drop is computed: {error.message}")
        return []
    return [route]


def _batch_size(routes: Sequence[Route], asked: int | None) -> int:
    fixed = {route.name: size for route in routes if (size := route.artifact.fixed_batch) is not None}
    sizes = set(fixed.values()) | ({asked} if asked is not None else set())
    if len(sizes) > 1:
        made_for = ", ".join(f"{name} takes batches of {size}" for name, size in fixed.items())
        raise UnsupportedError(
            f"evaluating: {made_for}" + (f", not {asked}" if asked else ""),
            hint="evaluate these engines apart, or leave --batch-size out",
        )
    return sizes.pop() if sizes else DEFAULT_BATCH_SIZE


def _picture(data: Path, below: str) -> Picture:
    path = data / below
    return Picture(name=str(path), source=path)


def _seen(scored: Scored, task: Classification) -> Iterator[Seen]:
    by_route = [task.scores(outputs) for outputs in scored.outputs]
    for row in scored.rows():
        if isinstance(row, EdgekitError):
            yield Seen(error=row.message)
            continue
        ranked = [ranked_classes(scores[row], TOP_K, task.rule) for scores in by_route]
        yield Seen(top=tuple(tuple(classes.tolist()) for classes in ranked))


def fail_on_unreadable(result: EvalResult | BoxEvalResult | LabelMapEvalResult) -> None:
    """Raise InputError at the end of a command that could not read some of its pictures."""
    if result.unreadable:
        raise InputError(
            f"evaluating: {result.unreadable} of {result.pictures + result.unreadable} pictures could not be "
            f"read; the first: {result.first_error}",
            hint="mend --data or the list; of a classifier the disagreements file has their errors",
        )
