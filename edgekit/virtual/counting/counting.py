"""Instruction counts of one inference on the virtual device.

A device that has the counter says so by the property `ro.edgekit.icount` and has `icount` among its
programs: `icount OUT -- COMMAND...` runs a command (or a script that starts it) and writes to OUT how
many instructions each of its threads had executed at every mark that the runner made (`run` with
`"mark": true`, see edgekit.runners.protocol); with `-e FILE` also at each entry of the functions that FILE
lists (`entry_list`).
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Sequence

import msgspec

from edgekit.core.measurement import InstructionCount
from edgekit.errors import RunnerError

ICOUNT = "/system/bin/icount"


class _Snapshot(msgspec.Struct, frozen=True):
    """A line of the counter; `threads` holds instructions of work and of spinning, first thread first."""

    pid: int
    threads: tuple[tuple[int, int], ...] = ()
    mark: int | None = None
    entry: int | None = None
    thread: int = 0


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """Instructions from one entry of a listed function to the next, or to the end of the inference.

    Attributes:
        entry: The function's offset in the library's file; None before the first entry.
        main_thread: Instructions of the thread that entered it, without waiting.
        total: Instructions of all threads.
    """

    entry: int | None
    main_thread: int
    total: int


def entry_list(library: str, offsets: Iterable[int]) -> str:
    """Return the text of the counter's list of functions.

    Args:
        library: File name of the library on the device.
        offsets: Offsets of the functions' first instructions in the library's file.
    """
    return "\n".join([library, *map(str, sorted(offsets))]) + "\n"


def counting_argv(
    argv: Sequence[str], output: str, *, blocks: bool = False, entries: str | None = None
) -> list[str]:
    """The device command that runs `argv` under the counter.

    Args:
        argv: A device command.
        output: Device path for the counts; whatever is there is replaced.
        blocks: Also count every block of instructions, for attribution to functions.
        entries: Device path of an `entry_list`: count at each entry of these functions as well.
    """
    options = [*(["-b"] if blocks else []), *(["-e", entries] if entries is not None else [])]
    return [ICOUNT, *options, output, "--", *argv]


def parse_counts(text: str) -> InstructionCount:
    """Instructions of one inference, from the counter's output of one process that marked its inferences.

    `total` and `main_thread` are medians over the marked inferences; `spread` is of `total`.

    Raises:
        RunnerError: The text is not the counter's, no inference was marked or one was cut short, or
            several processes marked inferences.
    """
    marks = [snapshot for snapshot in _parse_lines(text) if snapshot.mark is not None]
    if not marks:
        raise RunnerError(
            "counting instructions: the runner marked no inference",
            hint="ask it to run with marks, on a device whose ro.edgekit.icount is 1",
        )
    if len({mark.pid for mark in marks}) > 1:
        raise RunnerError("counting instructions: several processes marked inferences in one file")
    counted = [_difference(before, after) for before, after in _pairs(marks)]
    totals = [count.total for count in counted]
    return InstructionCount(
        total=statistics.median_low(totals),
        main_thread=statistics.median_low(count.main_thread for count in counted),
        spinning=statistics.median_low(count.spinning for count in counted),
        inferences=len(counted),
        spread=(max(totals) - min(totals)) / min(totals),
    )


def parse_stretches(text: str) -> tuple[Stretch, ...]:
    """One inference cut at its entries, in order; each figure is the median over the marked inferences.

    Raises:
        RunnerError: As `parse_counts`; or the inferences did not enter the same functions.
    """
    parse_counts(text)
    inferences: list[list[_Snapshot]] = []
    for snapshot in _parse_lines(text):
        if snapshot.mark is not None and not snapshot.mark % 2:
            inferences.append([])
        if snapshot.mark is not None or snapshot.entry is not None:
            inferences[-1].append(snapshot)
    entered = [tuple(one.entry for one in inference[1:-1]) for inference in inferences]
    if len(set(entered)) != 1:
        raise RunnerError("counting instructions: the inferences did not enter the same functions")
    runs = [
        [_difference(before, after) for before, after in itertools.pairwise(inference)]
        for inference in inferences
    ]
    return tuple(
        Stretch(
            entry=entry,
            main_thread=statistics.median_low(count.main_thread for count in counts),
            total=statistics.median_low(count.total for count in counts),
        )
        for entry, counts in zip((None, *entered[0]), zip(*runs, strict=True), strict=True)
    )


def _parse_lines(text: str) -> list[_Snapshot]:
    try:
        return [
            msgspec.json.decode(line, type=_Snapshot)
            for line in text.splitlines()
            if line.startswith(('{"mark"', '{"exit"', '{"entry"'))
        ]
    except (msgspec.DecodeError, ValueError) as error:
        raise RunnerError(f"counting instructions: the counter wrote something else: {error}") from error


def _pairs(marks: list[_Snapshot]) -> list[tuple[_Snapshot, _Snapshot]]:
    """Pairs of snapshots: marks 2i and 2i+1 bracket inference i."""
    pairs = list(zip(marks[::2], marks[1::2], strict=False))
    for before, after in pairs:
        assert before.mark is not None
        if before.mark % 2 or after.mark != before.mark + 1:
            raise RunnerError(f"counting instructions: mark {before.mark} is followed by {after.mark}")
    if len(marks) % 2:
        raise RunnerError("counting instructions: the last inference was cut short")
    return pairs


def _difference(before: _Snapshot, after: _Snapshot) -> InstructionCount:
    started = dict(enumerate(before.threads))
    deltas = [
        (work - started.get(index, (0, 0))[0], spinning - started.get(index, (0, 0))[1])
        for index, (work, spinning) in enumerate(after.threads)
    ]
    return InstructionCount(
        total=sum(work for work, _ in deltas),
        main_thread=deltas[after.thread][0],
        spinning=sum(spinning for _, spinning in deltas),
    )
