"""A task of another package: whether the best class is even."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgekit.core.parity import Agreement
from edgekit.core.tables import Table
from edgekit.tasks.task import Answer, Asked, Outputs, Shown, Task
from edgekit.tasks.truth.evaluation import Evaluation, Route, Routes, Seen, Truth, per_cent


class Rule(msgspec.Struct, forbid_unknown_fields=True):
    even: str
    odd: str


class Parity(msgspec.Struct, frozen=True):
    word: str
    filename: str

    def as_dict(self) -> dict[str, Any]:
        return {"word": self.word, "filename": self.filename}

    def line(self) -> str:
        return f"{self.filename} is {self.word}"


class EvenTask(Task):
    name = "even"
    summary = "a model of evenness"
    Rule = Rule
    rule: Rule

    def answers(self, outputs: Outputs, pictures: Sequence[Shown], asked: Asked) -> list[Answer]:
        words = [
            self.rule.odd if row.argmax() % 2 else self.rule.even for row in next(iter(outputs.values()))
        ]
        return [Parity(word, picture.name) for word, picture in zip(words, pictures, strict=True)]

    def agreement(self, outputs: Outputs, reference: Outputs, tolerance: float | None) -> Agreement | None:
        (rows,), (wanted,) = outputs.values(), reference.values()
        agreeing = [row.argmax() % 2 == each.argmax() % 2 for row, each in zip(rows, wanted, strict=True)]
        return Agreement(agreeing=tuple(map(bool, agreeing)), judged_by="evenness", phrase="evenness agrees")

    def truth(self, list_path: Path, data: Path, tell: Callable[[str], None]) -> Truth[Any]:
        return EvenTruth(list_path)

    @classmethod
    def evaluation(cls) -> type[Evaluation]:
        return EvenEvaluation


class EvenScore(Route, frozen=True, kw_only=True):
    right: float
    drop: float | None


class EvenEvaluation(Evaluation, frozen=True, kw_only=True):
    version = 7
    task: str
    routes: tuple[EvenScore, ...]

    def tables(self) -> tuple[Table, ...]:
        rows = tuple((one.name, per_cent(one.right), per_cent(one.drop)) for one in self.routes)
        return (Table(title=self.title, header=("route", "right", "drop"), rows=rows),)


class EvenTruth(Truth[tuple[bool, ...]]):
    found = tuple[bool, ...]

    def __init__(self, list_path: Path) -> None:
        self.lines = [line.split() for line in list_path.read_text().splitlines()]
        self.total = len(self.lines)

    def paths(self) -> Iterable[str]:
        return (path for path, _ in self.lines)

    def see(self, outputs: Sequence[Outputs], pictures: Sequence[Shown]) -> Iterable[tuple[bool, ...]]:
        best = [next(iter(one.values())).argmax(axis=1) for one in outputs]
        return [tuple(bool(each % 2 == 0) for each in row) for row in zip(*best, strict=True)]

    def conclude(
        self, base: Evaluation, routes: Routes, seen: Iterator[Seen[tuple[bool, ...]]], path: Path
    ) -> EvenEvaluation:
        rows = [(one.found, word == "EVEN") for one, (_, word) in zip(seen, self.lines, strict=True)]
        shares = [
            sum(found is not None and found[index] == true for found, true in rows) / base.pictures
            for index in range(len(routes.routes))
        ]
        scores = [
            EvenScore(**route.fields(), right=shares[index], drop=routes.drop(index, shares))
            for index, route in enumerate(routes.routes)
        ]
        return base.into(EvenEvaluation, routes=tuple(scores))


TASK = EvenTask
