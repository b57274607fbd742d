"""Display of how many pictures are done."""

from __future__ import annotations

import time

import click

from edgekit.cli.options import is_interactive, note

PROGRESS_INTERVAL_S = 0.5
LINE_INTERVAL_S = 30.0


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
