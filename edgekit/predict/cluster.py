"""Work on many pictures, spread over the workers of a Ray cluster by Ray Data.

A worker is a process of the cluster with one lane of its own. The pictures go to it in pieces: consecutive
ranges of all pictures, each known by its first. What a worker computes of a piece comes back as bytes, so
that a piece is there whole or not at all: the cluster gives the piece of a worker that was killed to another.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edgekit import __version__
from edgekit._files import temporary_directory
from edgekit._process import usable_cores
from edgekit._worker import Fault
from edgekit.engines.registry import on_gpu
from edgekit.errors import EdgekitError, RunnerError, ToolError, UnsupportedError, UsageError
from edgekit.vision.pictures import Picture

LOCAL, RUNNING = "local", "auto"
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+):(\d{1,5})")
_CONNECT_S = 5.0
# Sockets below it have names of up to 107 bytes, so that $TMPDIR may be too long.
_PLACE = Path("/tmp")  # noqa: S108
_STORE_BYTES = 256 << 20
# Workers that may die over one piece; then it is the piece that kills them.
_MOST_DEATHS = 5
# A worker gets its next piece before it has finished one. Many smaller ones end at about the same time.
_PIECES_A_WORKER = 32
_MOST_A_PIECE = 2048

Compute = Callable[[Sequence[Picture]], bytes]
Work = Callable[[], contextlib.AbstractContextManager[Compute]]
"""Opens runners on a worker, and gives what computes a piece with them; it must be picklable."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A Ray cluster to which this process is connected.

    Attributes:
        address: Address as it was given.
        workers: Number of workers to use.
        threads: Number of threads of each worker's runners, and so of CPUs that it takes of the cluster.
        install: Whether workers may install a missing component of an engine.
    """

    address: str
    workers: int
    threads: int
    install: bool = True

    def piece_size(self, count: int, batch_size: int) -> int:
        """Return the number of pictures a piece, a multiple of the batch size, for so many pictures."""
        wanted = min(_MOST_A_PIECE, -(-count // (_PIECES_A_WORKER * self.workers)))
        return max(1, -(-wanted // batch_size)) * batch_size


@contextlib.contextmanager
def connected(address: str, *, workers: int | None, threads: int, install: bool = True) -> Iterator[Cluster]:
    """Connect this process to a Ray cluster, and disconnect it at the end.

    Args:
        address: `HOST:PORT` of the cluster's head, `auto` for the cluster that runs on this machine, or
            `local` for a cluster of this machine that ends with this process's use of it.
        workers: Number of workers; None for as many as the cluster has CPUs for.
        threads: Number of threads of each worker's runners.
        install: Whether workers may install a missing component of an engine.

    Raises:
        UsageError: The address is none, or the cluster has too few CPUs for so many workers.
        ToolError: Ray is not installed, or the cluster does not answer or runs another version.
    """
    _check_address(address)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # edgekit reports nothing to anybody, nor does what it starts
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what concerns users comes as an exception
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ToolError(
            f"connecting to Ray at {address}: Ray Data cannot be imported ({error})",
            hint="pip install 'edgekit[ray]'",
        ) from error
    logging.getLogger("ray").setLevel(logging.ERROR)
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    with contextlib.ExitStack() as stack:
        if address == LOCAL:
            place = stack.enter_context(temporary_directory("edgekit-ray-", _PLACE))
            cpus = max(usable_cores(), (workers or 1) * threads)
            options |= {
                "num_cpus": cpus,
                "include_dashboard": False,
                "object_store_memory": _STORE_BYTES,
                "_temp_dir": str(place),
            }
        # Ray prints there until it is shut down when a worker dies; the result alone belongs to stdout.
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        try:
            ray.init(address=address, **options)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise _unreachable(address, _first_line(error)) from error
        stack.callback(ray.shutdown)
        cpus = int(ray.cluster_resources().get("CPU", 0))
        if (workers or 1) * threads > cpus:
            raise UsageError(
                f"using the Ray cluster {address}: {workers or 1} workers of {threads} threads, but it has "
                f"{cpus} CPUs",
                hint="leave --workers and --threads out",
            )
        yield Cluster(address=address, workers=workers or cpus // threads, threads=threads, install=install)


def _check_address(address: str) -> None:
    """Refuse what is no address, and one where nothing listens: Ray would wait, and end the process."""
    if address in (LOCAL, RUNNING):
        return
    match = _HOST_PORT.fullmatch(address)
    if match is None or not 0 < int(match[2]) < 1 << 16:
        raise UsageError(
            f"--ray {address}: neither {LOCAL}, {RUNNING} nor HOST:PORT",
            hint="--ray HOST:6379, as `ray start` printed it",
        )
    try:
        with socket.create_connection((match[1].strip("[]"), int(match[2])), timeout=_CONNECT_S):
            pass
    except OSError as error:
        raise _unreachable(address, error.strerror or str(error)) from error


def _unreachable(address: str, reason: str) -> ToolError:
    return ToolError(
        f"connecting to Ray at {address}: {reason}",
        hint="--ray local starts a cluster on this machine; of another cluster this machine must be a part "
        "(ray start --address=HOST:PORT), with the same Python and Ray",
    )


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def refuse_gpus(names: Iterable[str]) -> None:
    """Raise UnsupportedError where one of these engines computes on a GPU: a worker asks for CPUs only."""
    for name in filter(on_gpu, names):
        raise UnsupportedError(
            f"computing with {name} on a Ray cluster: its workers compute on CPUs",
            hint="ask for another --engine, or leave --ray out",
        )


def spread(
    cluster: Cluster,
    work: Work,
    pieces: Mapping[int, Sequence[Picture]],
    *,
    in_order: bool = False,
) -> Generator[tuple[int, bytes], None, None]:
    """Yield what a cluster's workers compute of pieces, each once, with the piece's key.

    Args:
        cluster: The cluster.
        work: What a worker does; a runner of it that fails is started once more.
        pieces: Pictures that are files, by the number of the first one. Workers open them by absolute paths.
        in_order: Whether pieces come in the order given, else as they are ready.

    Raises:
        EdgekitError: A worker refused the work, or its runner failed twice.
        RunnerError: Workers died over a piece again and again, or the cluster was lost.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = in_order
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # an error comes as an exception, too
    rows = [{"start": start, "pictures": _pack(pictures)} for start, pictures in pieces.items()]
    workers = min(cluster.workers, len(rows))
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    attempts = ray.remote(_Attempts).options(num_cpus=0, scheduling_strategy=here).remote()
    computed = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        _Worker,
        fn_constructor_args=(work, __version__, attempts),
        batch_size=1,
        batch_format="pyarrow",
        # Idle workers end, so that one of a machine that was lost gets the place of one.
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers, initial_size=workers),
        num_cpus=cluster.threads,
    )
    try:
        for row in computed.iter_rows():
            if row["failure"]:
                raise msgspec.msgpack.decode(row["failure"], type=Fault).error()
            yield row["start"], row["content"]
    except ray.exceptions.RayError as error:
        raise RunnerError(
            f"computing on the Ray cluster {cluster.address}: {_last_line(error)}",
            hint="give the same command again: it goes on with what is missing",
        ) from error


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


class _Attempts:
    """Counts how often each piece was begun; Ray itself would let workers die over a piece for ever."""

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()

    def begin(self, start: int) -> int:
        """Return how often the piece has been begun, this time included."""
        self._begun[start] += 1
        return self._begun[start]


class _Worker:
    """Actor of Ray Data on a worker: it opens the work with the first piece, and keeps it open."""

    def __init__(self, work: Work, version: str, attempts: Any) -> None:
        self._work = work
        self._attempts = attempts
        self._version = version
        self._stack = contextlib.ExitStack()
        self._compute: Compute | None = None

    def __call__(self, rows: Any) -> Any:
        """Compute one piece, a table of one row; an error of edgekit is a result, for Ray would wrap it."""
        import pyarrow
        import ray

        (row,) = rows.to_pylist()
        content = failure = b""
        try:
            if self._version != __version__:
                raise ToolError(
                    f"computing on {socket.gethostname()}: edgekit {__version__} is installed there, here "
                    f"{self._version}",
                    hint=f"there: pip install edgekit=={self._version}",
                )
            pictures = _unpack(row["pictures"])
            if ray.get(self._attempts.begin.remote(row["start"])) > _MOST_DEATHS:
                raise RunnerError(
                    f"computing {pictures[0].name} to {pictures[-1].name}: {_MOST_DEATHS} workers died over "
                    "them",
                    hint="find the picture that kills workers by edgekit predict without --ray",
                )
            content = self._computed(pictures)
        except EdgekitError as error:
            failure = msgspec.msgpack.encode(Fault.of(error))
        binary = pyarrow.large_binary()
        columns = [("start", pyarrow.int64()), ("content", binary), ("failure", binary)]
        return pyarrow.table([[row["start"]], [content], [failure]], schema=pyarrow.schema(columns))

    def _computed(self, pictures: Sequence[Picture]) -> bytes:
        try:
            return self._opened()(pictures)
        except RunnerError:
            # A runner that the system ended for memory is no reason to end everything.
            self._close()
            return self._opened()(pictures)

    def _opened(self) -> Compute:
        if self._compute is None:
            self._compute = self._stack.enter_context(self._work())
        return self._compute

    def _close(self) -> None:
        self._compute = None
        self._stack.close()


def _pack(pictures: Sequence[Picture]) -> bytes:
    """Return names and absolute paths as bytes; a path need not be UTF-8."""
    return msgspec.msgpack.encode([(each.name, absolute(each)) for each in pictures])


def absolute(picture: Picture) -> bytes:
    """Return the absolute path of a picture that is a file."""
    assert isinstance(picture.source, Path)
    return os.fsencode(picture.source.absolute())


def _unpack(packed: bytes) -> list[Picture]:
    files = msgspec.msgpack.decode(packed, type=list[tuple[str, bytes]])
    return [Picture(name=name, source=Path(os.fsdecode(path))) for name, path in files]
