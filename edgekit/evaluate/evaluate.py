"""Accuracy of a model's artifacts on pictures with their truth, all of them in one pass over the pictures."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec

from edgekit import __version__
from edgekit._files import RESULT_BYTES, read_bytes, sha256_file, write_atomic
from edgekit.core.artifact import ArtifactKind, Manifest
from edgekit.core.measurement import ArtifactRef
from edgekit.core.spec import Precision
from edgekit.errors import EdgekitError, InputError, ParityError, ToolError, UnsupportedError
from edgekit.evaluate.journal import Identity, Journal
from edgekit.parity.reference import reference_engine
from edgekit.predict.cluster import Cluster, Compute, refuse_gpus, spread
from edgekit.predict.lanes import Route, Scored, batched, open_lanes, plan_route, score_batches
from edgekit.targets.target import HostTarget, Subject, Target
from edgekit.tasks.registry import task_of
from edgekit.tasks.truth.evaluation import Evaluation, Routes, Seen, Skipped, Truth
from edgekit.tasks.truth.evaluation import Route as JudgedRoute
from edgekit.vision.lists import check_list
from edgekit.vision.pictures import Picture

DEFAULT_BATCH_SIZE = 8

Progress = Callable[[int, int], None]
"""Called with the number of finished pictures and of all pictures."""


class NothingReadError(InputError):
    """None of the pictures of a list could be read."""


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
    cluster: Cluster | None = None,
    progress: Progress = lambda done, total: None,
    tell: Callable[[str], None] = lambda message: None,
) -> Evaluation:
    """Evaluate a model; after an interruption the next call continues from the journal.

    Args:
        target: Machine on which the engines run.
        subject: Model with its artifacts.
        plan: Settings of the evaluation.
        cluster: Ray cluster whose workers compute, and see model and pictures under the same paths; None
            computes in this process.
        progress: Called after every batch.
        tell: Called with a line for the user about engines left out and about a continued evaluation.

    Returns:
        Result, which is also written to `plan.output`.

    Raises:
        UnsupportedError: No engine can do the request, or answers of the model's task have no truth.
        InputError: The list is wrong, none of its pictures can be read, or the model lacks an artifact.
        RunnerError, DeviceError, DeviceLostError: A runner failed.
        OutputError: The results cannot be written.
        ToolError: A package that computes the figures is missing.
    """
    manifest = subject.manifest
    # A worker's working directory may be another.
    data = plan.data if cluster is None else plan.data.absolute()
    truth = task_of(manifest, subject.labels).truth(plan.list_path, data, tell)
    started_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    if manifest.doubt is not None:
        tell(manifest.doubt)
    routes, skipped = _plan_routes(target, subject, plan)
    routes += _reference_route(subject, routes, tell)
    batch_size = _batch_size(routes, plan.batch_size)
    identity = Identity(
        task=manifest.task,
        list_sha256=plan.list_sha256 or sha256_file(plan.list_path),
        data=str(plan.data.absolute()),
        pictures=truth.total,
        preprocess=msgspec.json.encode(manifest.preprocess).decode(),
        routes=tuple((route.engine, route.precision.value, route.artifact.sha256) for route in routes),
    )
    journal: Journal[Any] = Journal(
        plan.output.with_suffix(".journal"), identity, truth.found, restart=plan.restart
    )
    complete = False
    try:
        if journal.done:
            tell(f"going on after {journal.done} of {truth.total} pictures ({journal.path})")
        if cluster is None:
            batches = _on_lanes(subject, plan, routes, batch_size, truth, journal.done)
        else:
            refuse_gpus([route.engine for route in routes])
            batches = _on_cluster(cluster, subject, plan, routes, batch_size, truth, journal.done)
        if journal.done < truth.total:
            with contextlib.closing(batches):
                for seen in batches:
                    journal.append(seen)
                    progress(journal.done, truth.total)
        base = Evaluation(
            schema_version=Evaluation.version,
            edgekit_version=__version__,
            started_at=started_at,
            ended_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            model=manifest.name,
            task=manifest.task,
            target=target.info.serial,
            list_path=str(plan.list_path),
            list_sha256=identity.list_sha256,
            data=str(plan.data),
            threads=plan.threads,
            batch_size=batch_size,
            skipped=skipped,
            weights=manifest.source,
            **_readable(journal),
        )
        result = truth.conclude(base, _judged(routes, manifest), journal.read(), plan.output)
        write_atomic(plan.output, msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
        complete = True
    except NothingReadError:
        complete = True  # continuing would fail again
        raise
    finally:
        journal.close(remove=complete)
    return result


def _on_lanes(
    subject: Subject, plan: Plan, routes: Sequence[Route], batch_size: int, truth: Truth[Any], done: int
) -> Generator[list[Seen[Any]], None, None]:
    """Yield what is kept of the pictures after the first `done`, a batch at a time."""
    items = (_picture(plan.data, path) for path in itertools.islice(truth.paths(), done, None))
    opened = open_lanes(subject, routes, workers=plan.workers, threads=plan.threads, batch_size=batch_size)
    with opened as lanes, contextlib.closing(score_batches(lanes, batched(items, batch_size))) as results:
        for scored in results:
            yield _seen(scored, truth)


def _on_cluster(
    cluster: Cluster,
    subject: Subject,
    plan: Plan,
    routes: Sequence[Route],
    batch_size: int,
    truth: Truth[Any],
    done: int,
) -> Generator[list[Seen[Any]], None, None]:
    """Yield what is kept of the pictures after the first `done`, in order, a piece at a time."""
    pictures = [_picture(plan.data, path) for path in itertools.islice(truth.paths(), done, None)]
    size = cluster.piece_size(len(pictures), batch_size)
    pieces = {at: pictures[at : at + size] for at in range(0, len(pictures), size)}
    ways = tuple((route.engine, route.precision) for route in routes)
    work = functools.partial(
        _open_seeing, subject.at_absolute(), ways, plan.threads, batch_size, truth, cluster.install
    )
    decoder = msgspec.json.Decoder(list[Seen[truth.found]])  # type: ignore[name-defined]
    with contextlib.closing(spread(cluster, work, pieces, in_order=True)) as computed:
        for (first, content), expected in zip(computed, pieces, strict=True):
            assert first == expected, (first, expected)
            yield decoder.decode(content)


@contextlib.contextmanager
def _open_seeing(
    subject: Subject,
    ways: Sequence[tuple[str, Precision]],
    threads: int,
    batch_size: int,
    truth: Truth[Any],
    install: bool,
) -> Iterator[Compute]:
    """Yield what gives as JSON what is kept of a piece's pictures, with the runners of one lane behind it."""
    with contextlib.closing(HostTarget(install=install, huge_pages=True)) as target:
        routes = []
        for engine, precision in ways:
            # A reference that failed its check is not among the ways, so that it needs no further care here.
            routes.append(plan_route(target, subject, engine, precision))
            target.prepare(engine)
        with open_lanes(subject, routes, workers=1, threads=threads, batch_size=batch_size) as lanes:

            def compute(pictures: Sequence[Picture]) -> bytes:
                scored = score_batches(lanes, batched(pictures, batch_size))
                return msgspec.json.encode([seen for one in scored for seen in _seen(one, truth)])

            yield compute


def _seen(scored: Scored, truth: Truth[Any]) -> list[Seen[Any]]:
    """Return what is kept of every item of a batch, in order."""
    found = iter(truth.see(scored.outputs, scored.pictures) if scored.pictures else ())
    return [
        Seen(error=row.message) if isinstance(row, EdgekitError) else Seen(found=next(found))
        for row in scored.rows()
    ]


def _readable(journal: Journal[Any]) -> dict[str, Any]:
    """Return the fields of `Evaluation` about readable pictures. Raises NothingReadError without any."""
    errors = [each.error for each in journal.read() if each.error is not None]
    if len(errors) == journal.done:
        raise NothingReadError(
            f"evaluating: none of {len(errors)} pictures could be read; the first: {errors[0]}",
            hint="the pictures' paths are relative to --data",
        )
    return {
        "pictures": journal.done - len(errors),
        "unreadable": len(errors),
        "first_error": errors[0] if errors else None,
    }


def _judged(routes: Sequence[Route], manifest: Manifest) -> Routes:
    """Return the routes as the truth's document names them."""
    return Routes(
        tuple(
            JudgedRoute(
                engine=route.engine,
                precision=route.precision,
                artifact=ArtifactRef.to(route.artifact, manifest),
            )
            for route in routes
        ),
        next((index for index, route in enumerate(routes) if _is_reference(route, manifest)), None),
    )


def _is_reference(route: Route, manifest: Manifest) -> bool:
    """True where the drop of other routes is measured against this route."""
    kind = route.artifact.kind
    is_float = kind in (ArtifactKind.PADDLE, ArtifactKind.ONNX)
    return is_float and route.engine == reference_engine(manifest) and manifest.failure(kind) is None


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
    if any(_is_reference(route, subject.manifest) for route in routes):
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


def fail_on_unreadable(result: Evaluation) -> None:
    """Raise InputError at the end of a command that could not read some of its pictures."""
    if result.unreadable:
        raise InputError(
            f"evaluating: {result.unreadable} of {result.pictures + result.unreadable} pictures could not be "
            f"read; the first: {result.first_error}",
            hint="mend --data or the list; of a classifier the disagreements file has their errors",
        )
