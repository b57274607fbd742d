"""Any model: arrays in, arrays out, without pictures and without answers."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edgekit.core.parity import Agreement
from edgekit.errors import UnsupportedError
from edgekit.tasks.task import Answer, Asked, Outputs, Shown, Task


class NoRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tensors are not post-processed."""


class Tensors(Task):
    """A model of which nothing is known but its inputs and outputs."""

    name = "tensors"
    summary = "a model of tensors"
    takes_pictures = False
    Rule = NoRule

    def answers(self, outputs: Outputs, pictures: Sequence[Shown], asked: Asked) -> list[Answer]:
        raise UnsupportedError(f"answering by {self.manifest.name}: {self.summary} gives no answers")

    def agreement(self, outputs: Outputs, reference: Outputs, tolerance: float | None) -> Agreement | None:
        return None


TASK = Tensors
