"""Answers of `edgekit predict`, written to stdout while they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgekit._text import json_printable
from edgekit.cli.output import echo_json, note
from edgekit.cli.progress import PicturesProgress
from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.predict.predict import Answers
    from edgekit.tasks.task import Answer, Task
    from edgekit.vision.pictures import Unreadable


class AnswersPrinter:
    """Writes answers to stdout in the chosen format; writes unreadable pictures and progress to stderr.

    Args:
        form: `json`, `jsonl`, `csv` or `line`.
    """

    def __init__(self, form: str) -> None:
        self._form = form
        self._kept: list[Any] = []
        self._unreadable: list[Unreadable] = []
        self._expected = 0
        self._progress = PicturesProgress()

    def expect(self, count: int, task: Task) -> None:
        """Set the total number of pictures, and the task whose answers are shown."""
        self._expected, self._task = count, task
        if self._form == "csv":
            self._csv("filename", "rank", "class_id", "label", task.score_name, "x0", "y0", "x1", "y1")

    def take(self, answers: Answers) -> None:
        """Show the answers of one batch."""
        self._progress.clear()
        for prediction in answers.predictions:
            if self._form == "json":
                self._kept += self._task.documents(prediction)
            elif self._form == "jsonl":
                import msgspec

                click.echo(json_printable(msgspec.json.encode(prediction.as_dict()).decode()))
            elif self._form == "csv":
                self._csv_rows(prediction)
            else:
                click.echo(prediction.line())
        for unreadable in answers.unreadable:
            note(f"passed over: {unreadable.error.message}")
        self._unreadable += answers.unreadable
        done = self._progress.done + len(answers.predictions) + len(answers.unreadable)
        self._progress(done, self._expected)

    def finish(self) -> None:
        """Show the collected answers; raise an error where a picture was passed over."""
        self._progress.clear()
        if self._form == "json":
            echo_json(self._kept)
        if self._unreadable:
            count = len(self._unreadable)
            raise InputError(
                f"predicting: {count} of {self._progress.done} could not be read, "
                f"first {self._unreadable[0].name}",
                hint=self._unreadable[0].error.hint,
            )

    def _csv_rows(self, answer: Answer) -> None:
        """Write a line for each class or box of an answer; one without a class where there is none."""
        nothing = ("",) * 4
        findings = self._task.findings(answer)
        for rank, one in enumerate(findings, start=1):
            box = one.box or nothing
            self._csv(answer.filename, rank, one.class_id, one.label or "", one.score, *box)
        if not findings:
            self._csv(answer.filename, *nothing, *nothing)

    def _csv(self, *values: object) -> None:
        from edgekit.report.formats import csv_line

        click.echo(csv_line(values))
