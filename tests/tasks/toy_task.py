"""A task of another package: whether the best class is even."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from edgekit.core.parity import Agreement
from edgekit.tasks.task import Answer, Asked, Outputs, Shown, Task


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


TASK = EvenTask
