"""The page of `choose --html`: which network fits, the front, and all candidates."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgekit.estimate.choose import ACCURACY, Choice
from edgekit.pages.chart import Dot, draw_chart
from edgekit.report.grid import Table, threads_words
from edgekit.report.template import SORTING, load_template

TEMPLATE = Path(__file__).parent / "choice.html.j2"


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Words of the choice; `missed` where no network is within the limits."""

    words: str
    surest: str = ""
    missed: bool = False


def choice_page(choice: Choice, table: Table, limits: str) -> str:
    """Render the page of a choice.

    Args:
        choice: The choice.
        table: Table of all its candidates.
        limits: Words for its limits; empty without any.

    Raises:
        ToolError: jinja2 is not installed.
    """
    figure = ACCURACY[choice.task][1]
    chart = draw_chart(
        [
            Dot(
                name=one.model,
                group=one.latency_is,
                ms=one.latency_ms,
                accuracy=one.accuracy,
                low_ms=one.low_ms if one.low_ms < one.high_ms else None,
                high_ms=one.high_ms if one.low_ms < one.high_ms else None,
            )
            for one in choice.candidates
        ],
        name=f"Accuracy against latency on {choice.title}",
        below=f"milliseconds, {choice.title}, {threads_words(choice.threads)}, {choice.precision}",
        figure=figure,
        max_ms=choice.max_ms,
        min_accuracy=choice.min_accuracy,
    )
    return load_template(TEMPLATE, script=SORTING).render(
        title=f"Networks for {choice.title}: Paddle Lite {choice.precision}, {threads_words(choice.threads)}",
        answer=_answer(choice, limits, figure),
        limited=bool(limits),
        chart=chart,
        table=msgspec.structs.replace(table, filters=(0, 4, 6)),
    )


def _answer(choice: Choice, limits: str, figure: str) -> _Answer:
    if not limits:
        front = sum(one.front for one in choice.candidates)
        return _Answer(words=f"{front} of {len(choice.candidates)} networks are beaten by no other")
    best = next((one for one in choice.candidates if one.model == choice.best), None)
    if best is None:
        return _Answer(words=f"No network of {limits}", missed=True)
    figures = f"{figure} {best.accuracy:.2f} %, {best.latency_ms:.2f} ms {best.latency_is}"
    words = f"{best.model}: {figures} ({limits})"
    surest = choice.surest
    if surest == best.model:
        return _Answer(words=words)
    return _Answer(
        words=words,
        surest=f"Its interval reaches beyond the limit; {surest or 'no network'} surely stays within it.",
    )
