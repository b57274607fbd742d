"""Display of how much is done: bars and lines on stderr."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from edgekit.cli.output import note

if TYPE_CHECKING:
    from rich.progress import Progress

PROGRESS_INTERVAL_S = 0.5
LINE_INTERVAL_S = 30.0


def is_interactive() -> bool:
    """Return True where progress bars are useful: stderr is a terminal."""
    return sys.stderr.isatty()


@contextlib.contextmanager
def byte_bars() -> Iterator[Callable[[str, int, int | None], None] | None]:
    """Yield what shows how many bytes have come of how many, in a bar on stderr for each label.

    Yields None where stderr is no terminal.
    """
    if not is_interactive():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def show(label: str, done: int, total: int | None) -> None:
            if label not in tasks:
                tasks[label] = bar.add_task(label, total=total)
            bar.update(tasks[label], completed=done, total=total)

        yield show


def counting_bar() -> Progress:
    """Return a bar on stderr: how many are done, the time left, and what runs (its description).

    Things are few and of unequal length: the time left follows from the mean of all that ended under the bar.
    On a narrow terminal the description alone is cut.
    """
    from datetime import timedelta

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.table import Column
    from rich.text import Text

    class TimeLeft(ProgressColumn):
        def __init__(self) -> None:
            super().__init__()
            self._first: tuple[float, float] | None = None
            self._last = (0.0, 0.0)

        def render(self, task: Task) -> Text:
            if task.total is None:
                return Text()
            now = task.get_time()
            since, had = self._first = self._first or (now, task.completed)
            if task.completed != self._last[1]:
                self._last = now, task.completed
            last, completed = self._last
            if completed == had:
                return Text("-:--:-- left")
            seconds = (last - since) / (completed - had) * (task.total - completed) - (now - last)
            return Text(f"{timedelta(seconds=round(max(0, seconds)))} left")

    columns = (
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TimeLeft(),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, ratio=1)),
    )
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, expand=True)


class PicturesProgress:
    """Display of finished pictures: one changing line on a terminal, occasional lines elsewhere."""

    def __init__(self) -> None:
        self.done = 0
        self._interactive = is_interactive()
        self._shown = time.monotonic()
        self._first: tuple[int, float] | None = None
        self._drawn = False

    def __call__(self, done: int, total: int) -> None:
        self.done = done
        now = time.monotonic()
        before, since = self._first = self._first or (done, now)
        interval = PROGRESS_INTERVAL_S if self._interactive else LINE_INTERVAL_S
        if now - self._shown < interval or done == total:
            return
        self._shown = now
        # The first pictures include the start of the runners, and what an earlier command has done.
        rate = f", {(done - before) / (now - since):.0f} a second" if now > since else ""
        if self._interactive:
            self._drawn = True
            click.echo(f"\r{done} of {total} pictures{rate}", nl=False, err=True)
        else:
            note(f"{done} of {total} pictures{rate}")

    def clear(self) -> None:
        """Take the line away."""
        if self._drawn:
            self._drawn = False
            click.echo("\r\x1b[2K", nl=False, err=True)
