"""Top-1 and Top-5 of a model's artifacts on a labelled list, all of them in one pass over the pictures."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from edgekit import __version__
from edgekit._files import RESULT_BYTES, read_bytes, sha256_file
from edgekit.core.spec import AnswerKind, Precision
from edgekit.errors import EdgekitError, InputError, ParityError, ToolError, UnsupportedError
from edgekit.evaluate.journal import Identity, Journal, Seen
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
from edgekit.predict.lanes import Route, Scored, batched, fixed_batch, open_lanes, plan_route, score_batches
from edgekit.targets.target import HostTarget, Subject, Target
from edgekit.tasks.classification import Classification, ranked_classes, require_answer
from edgekit.vision.lists import Labelled, check_list, count_list, read_list
from edgekit.vision.pictures import Picture

TOP_K = 5
DEFAULT_BATCH_SIZE = 8

Progress = Callable[[int, int], None]
"""Called with the number of finished pictures and of all pictures."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of an evaluation.

    Attributes:
        data: Directory to which the list's paths are relative.
        list_path: Path of the list, one `path label` a line.
        output: Path of the result file; journal, confusion matrix and disagreements are written beside it.
        engines: Engines of the host, or of devices where a device is given.
        precisions: Precisions to evaluate with every engine.
        threads: Number of threads of each runner.
        batch_size: Number of pictures a batch; None for 8, or the artifacts' fixed batch size.
        workers: Number of lanes that decode and infer in parallel.
        restart: True to start again although a journal exists.
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


def default_output(model: str, list_path: Path, directory: Path = Path("results")) -> Path:
    """Return the path of a model's result on a list: no other list's result has it.

    Raises:
        InputError: The list cannot be read.
    """
    check_list(list_path)
    digest = sha256_file(list_path)
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
) -> EvalResult:
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
    """
    require_answer(subject.manifest, "evaluating", AnswerKind.TOPK, AnswerKind.THRESHOLD)
    started_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    if subject.manifest.doubt is not None:
        tell(subject.manifest.doubt)
    total = count_list(plan.list_path, subject.manifest.num_classes)
    routes, skipped = _plan_routes(target, subject, plan)
    routes += _reference_route(subject, routes, tell)
    batch_size = _batch_size(routes, plan.batch_size)
    identity = Identity(
        list_sha256=sha256_file(plan.list_path),
        data=str(plan.data.absolute()),
        pictures=total,
        preprocess=msgspec.json.encode(subject.manifest.preprocess).decode(),
        routes=tuple((route.engine, route.precision.value, route.artifact.sha256) for route in routes),
    )
    journal = Journal(plan.output.with_suffix(".journal"), identity, restart=plan.restart)
    complete = False
    try:
        if journal.done:
            tell(f"going on after {journal.done} of {total} pictures ({journal.path})")
        _run(subject, routes, plan, batch_size, journal, total, progress)
        result = EvalResult(
            schema_version=EVAL_SCHEMA_VERSION,
            edgekit_version=__version__,
            started_at=started_at,
            ended_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            model=subject.manifest.name,
            target=target.info.serial,
            list_path=str(plan.list_path),
            list_sha256=identity.list_sha256,
            data=str(plan.data),
            threads=plan.threads,
            batch_size=batch_size,
            skipped=skipped,
            num_classes=subject.manifest.num_classes,
            weights=subject.manifest.source,
            **msgspec.structs.asdict(tally(journal, routes, plan.list_path, subject, plan.output)),
        )
        write_result(result, plan.output)
        complete = True
    except NothingReadError:
        complete = True  # continuing would fail again
        raise
    finally:
        journal.close(remove=complete)
    return result


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
    fixed = {route.name: size for route in routes if (size := fixed_batch(route.artifact)) is not None}
    sizes = set(fixed.values()) | ({asked} if asked is not None else set())
    if len(sizes) > 1:
        made_for = ", ".join(f"{name} takes batches of {size}" for name, size in fixed.items())
        raise UnsupportedError(
            f"evaluating: {made_for}" + (f", not {asked}" if asked else ""),
            hint="evaluate these engines apart, or leave --batch-size out",
        )
    return sizes.pop() if sizes else DEFAULT_BATCH_SIZE


def _run(
    subject: Subject,
    routes: Sequence[Route],
    plan: Plan,
    batch_size: int,
    journal: Journal,
    total: int,
    progress: Progress,
) -> None:
    if journal.done == total:
        return
    entries = read_list(plan.list_path, subject.manifest.num_classes)
    left = itertools.islice(entries, journal.done, None)
    items = (_picture(plan.data, entry) for entry in left)
    task = Classification(subject.manifest)
    with open_lanes(
        subject, routes, workers=plan.workers, threads=plan.threads, batch_size=batch_size
    ) as lanes, contextlib.closing(score_batches(lanes, batched(items, batch_size))) as results:  # fmt: skip
        for scored in results:
            journal.append(list(_seen(scored, task)))
            progress(journal.done, total)


def _picture(data: Path, entry: Labelled) -> Picture:
    path = data / entry.path
    return Picture(name=str(path), source=path)


def _seen(scored: Scored, task: Classification) -> Iterator[Seen]:
    rows = {position: row for row, position in enumerate(scored.positions)}
    errors = iter(scored.unreadable)
    by_route = [task.scores(outputs) for outputs in scored.outputs]
    for position in range(len(scored.items)):
        if position not in rows:
            error: EdgekitError = next(errors).error
            yield Seen(error=error.message)
            continue
        yield Seen(
            top=tuple(
                tuple(int(index) for index in ranked_classes(scores[rows[position]], TOP_K, task.rule))
                for scores in by_route
            )
        )


def fail_on_unreadable(result: EvalResult) -> None:
    """Raise InputError at the end of a command that could not read some of its pictures."""
    if result.unreadable:
        raise InputError(
            f"evaluating: {result.unreadable} of {result.pictures + result.unreadable} pictures could not be "
            f"read; the first: {result.first_error}",
            hint="their errors are in the disagreements file; mend --data or the list",
        )
