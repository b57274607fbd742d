"""Answers for many pictures as files of a directory, each for one range of the pictures.

A part is written once and whole, and its name has its range. The directory's index says what the parts are
answers to: the same request goes on with the parts that are missing, another is refused.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import logging
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec

from edgekit._files import read_bytes, write_atomic
from edgekit.core.artifact import Artifact
from edgekit.core.spec import Precision
from edgekit.errors import InputError, OutputError
from edgekit.predict.cluster import Cluster, Compute, absolute, refuse_gpus, spread
from edgekit.predict.feed import Item
from edgekit.predict.lanes import plan_route
from edgekit.predict.predict import Predictor, Settings, choose_batch_size
from edgekit.targets.target import HostTarget, Subject
from edgekit.tasks.registry import require_pictures
from edgekit.vision.labels import load_labels
from edgekit.vision.pictures import Picture, Unreadable

logger = logging.getLogger("edgekit")

INDEX = "_parts.json"  # readers of a directory of Parquet leave names with _ out
INDEX_VERSION = 1
_PART_BYTES = 1 << 30


class Form(Enum):
    """Form of the parts; the value is the ending of their names."""

    JSONL = "jsonl"
    PARQUET = "parquet"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Question that all parts of a directory answer.

    Attributes:
        artifact: SHA-256 of the artifact.
        labels: Names of the classes as answered, where a label file replaces the model's own.
        pictures: Number of pictures.
        names_sha256: SHA-256 of the pictures' names and absolute paths, in order.
    """

    model: str
    artifact: str
    engine: str
    precision: Precision
    top_k: int | None
    threshold: float | None
    labels: tuple[str, ...] | None
    reduced_decode: bool
    form: Form
    pictures: int
    names_sha256: str


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """Index of a directory of parts.

    Attributes:
        part_size: Number of pictures in every part but the last.
    """

    schema_version: int
    part_size: int
    request: Request


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome of `write_parts`.

    Attributes:
        parts: Number of parts in the directory.
        parts_before: Number of these that were there before.
        pictures: Number of all pictures.
        unreadable: Number of pictures that could not be read; their rows have `error`.
        first_error: Error of the first of these.
    """

    directory: str
    form: Form
    parts: int
    parts_before: int
    pictures: int
    unreadable: int
    first_error: str | None


class _Row(msgspec.Struct):
    error: str | None = None


def write_parts(
    cluster: Cluster,
    subject: Subject,
    settings: Settings,
    items: Sequence[Item],
    directory: Path,
    form: Form,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Written:
    """Answer pictures on a cluster, and write the answers as parts, a row for every picture in order.

    Args:
        cluster: The cluster, whose workers see model and pictures under the same paths.
        subject: The model.
        settings: Settings of the prediction; each worker has one lane.
        items: The pictures, which are files.
        directory: Place of the parts; those that are there already are kept.
        form: Form of the parts.
        progress: Called after every part with the finished pictures and the number of all.

    Raises:
        InputError: A directory holds no picture, or the model lacks the artifact here or for a worker.
        OutputError: The directory holds answers to another request, or cannot be written.
        UnsupportedError: The model takes no pictures, or the engine does not compute that, or not on a
            cluster.
        RunnerError: A worker's runner failed twice, or workers died over a part again and again.
    """
    pictures = [_file(item) for item in items]
    require_pictures(subject.manifest, "predicting with")
    if subject.manifest.doubt is not None:
        logger.warning("%s", subject.manifest.doubt)
    refuse_gpus([settings.engine])
    artifact = plan_route(HostTarget(install=False), subject, settings.engine, settings.precision).artifact
    batch_size = choose_batch_size(settings.batch_size, artifact)
    request = _request(subject, settings, artifact, pictures, form)
    size = _begin(directory, request, cluster.piece_size(len(pictures), batch_size)).part_size
    paths = {
        start: directory / f"part-{start:09d}-{min(start + size, len(pictures)):09d}.{form.value}"
        for start in range(0, len(pictures), size)
    }
    before = {start for start, path in paths.items() if path.exists()}
    missing = {start: pictures[start : start + size] for start in paths if start not in before}
    done = sum(min(size, len(pictures) - start) for start in before)
    if missing:
        # A worker's working directory may be another.
        given = msgspec.structs.replace(settings, labels=settings.labels and settings.labels.absolute())
        work = functools.partial(open_answering, subject.at_absolute(), given, form, install=cluster.install)
        with contextlib.closing(spread(cluster, work, missing)) as computed:
            for start, content in computed:
                write_atomic(paths[start], content)
                done += len(missing[start])
                progress(done, len(pictures))
    found = [error for path in paths.values() for error in _errors(path, form)]
    return Written(
        directory=str(directory),
        form=form,
        parts=len(paths),
        parts_before=len(before),
        pictures=len(pictures),
        unreadable=len(found),
        first_error=found[0] if found else None,
    )


def _file(item: Item) -> Picture:
    if isinstance(item, Unreadable):
        raise item.error
    return item


def _request(
    subject: Subject, settings: Settings, artifact: Artifact, pictures: Sequence[Picture], form: Form
) -> Request:
    given = settings.labels
    names = hashlib.sha256()
    for each in pictures:
        names.update(each.name.encode() + b"\0" + absolute(each) + b"\0")
    return Request(
        model=subject.manifest.name,
        artifact=artifact.sha256,
        engine=settings.engine,
        precision=settings.precision,
        top_k=settings.top_k,
        threshold=settings.threshold,
        labels=None if given is None else load_labels(given, subject.manifest.num_classes),
        reduced_decode=settings.reduced_decode,
        form=form,
        pictures=len(pictures),
        names_sha256=names.hexdigest(),
    )


def _begin(directory: Path, request: Request, part_size: int) -> Index:
    """Return the index of the directory, written now if there is none."""
    path = directory / INDEX
    if path.exists():
        try:
            index = msgspec.json.decode(read_bytes(path, "the index"), type=Index)
        except (msgspec.DecodeError, ValueError) as error:
            raise InputError(
                f"reading the index {path}: {error}", hint="write to another directory with -o"
            ) from error
        changed = [
            name
            for name in Request.__struct_fields__
            if getattr(index.request, name) != getattr(request, name)
        ]
        if changed or index.schema_version != INDEX_VERSION or index.part_size < 1:
            raise OutputError(
                f"writing parts to {directory}: it holds answers to another request"
                + (f" (other {', '.join(changed)})" if changed else ""),
                hint="write to another directory with -o",
            )
        return index
    # A command that was killed may have left the beginning of an index.
    if directory.is_dir() and any(not each.name.startswith(f".{INDEX}.") for each in directory.iterdir()):
        raise OutputError(
            f"writing parts to {directory}: it holds other files and no {INDEX}",
            hint="write to a new directory with -o",
        )
    index = Index(schema_version=INDEX_VERSION, part_size=part_size, request=request)
    write_atomic(path, msgspec.json.format(msgspec.json.encode(index), indent=2) + b"\n")
    return index


@contextlib.contextmanager
def open_answering(subject: Subject, settings: Settings, form: Form, *, install: bool) -> Iterator[Compute]:
    """Yield what gives a part's content for its pictures, with the runner of one lane behind it."""
    target = HostTarget(install=install, huge_pages=True)
    with contextlib.closing(target), Predictor(target, subject, settings) as predictor:
        write = _write_lines if form is Form.JSONL else _table_writer(predictor)

        def compute(pictures: Sequence[Picture]) -> bytes:
            return write([row for answers in predictor.predict(pictures) for row in answers.rows()])

        yield compute


def _write_lines(rows: Sequence[dict[str, Any]]) -> bytes:
    encoder = msgspec.json.Encoder()
    return b"".join(encoder.encode(row) + b"\n" for row in rows)


def _table_writer(predictor: Predictor) -> Callable[[Sequence[dict[str, Any]]], bytes]:
    """Return what writes Parquet with the same columns in each part, whatever the pictures of a part show.

    The columns are those of an answer for a grey picture.
    """
    import numpy
    import pyarrow
    from pyarrow import parquet

    integers, numbers = pyarrow.list_(pyarrow.int64()), pyarrow.list_(pyarrow.float64())
    # An answer may have no class, and an empty list has no type.
    known = {
        "class_ids": integers,
        "scores": numbers,
        "label_names": pyarrow.list_(pyarrow.string()),
        "boxes": pyarrow.list_(numbers),
        "areas": numbers,
        "output": integers,
    }
    grey = Picture(name="grey", source=numpy.full((64, 64, 3), 128, numpy.uint8))
    ((example,),) = [answers.rows() for answers in predictor.predict([grey])]
    types = {name: known.get(name) or pyarrow.scalar(value).type for name, value in example.items()}
    schema = pyarrow.schema([*types.items(), ("error", pyarrow.string())])

    def write(rows: Sequence[dict[str, Any]]) -> bytes:
        file = io.BytesIO()
        parquet.write_table(pyarrow.Table.from_pylist(list(rows), schema=schema), file)
        return file.getvalue()

    return write


def _errors(path: Path, form: Form) -> list[str]:
    """Return the errors in a part. Raises InputError for a part that is damaged."""
    try:
        if form is Form.JSONL:
            lines = read_bytes(path, "the part", most_bytes=_PART_BYTES).splitlines()
            decoder = msgspec.json.Decoder(_Row)
            return [row.error for line in lines if (row := decoder.decode(line)).error is not None]
        from pyarrow import parquet

        column = parquet.read_table(path, columns=["error"])["error"].to_pylist()
        return [error for error in column if error is not None]
    except (OSError, ValueError) as error:
        raise InputError(
            f"reading the part {path}: {error}", hint=f"rm {path}, and give the same command again"
        ) from error
