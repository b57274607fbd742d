"""A place in a configuration, for messages that name it."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from edgekit.core.preprocess import Step
from edgekit.errors import InputError

HINT = "say it in TOML instead: --preprocess FILE.toml, and --labels FILE (docs/own-model.md has its fields)"
_Record = TypeVar("_Record")
_Step = TypeVar("_Step", bound=Step)


class Place(msgspec.Struct, frozen=True):
    """A file, and the section and entry in it, e.g. `PreProcess.transform_ops[2] CropImage`."""

    path: Path
    section: str = ""

    def at(self, section: str) -> Place:
        """Return a place inside this place."""
        return Place(self.path, f"{self.section}{section}")

    def refuse(self, why: str, *, hint: str = HINT) -> InputError:
        """Return the error for this place."""
        section = f"{self.section}: " if self.section else ""
        return InputError(f"reading the configuration {self.path}: {section}{why}", hint=hint)

    def read(self, value: object, kind: type[_Record]) -> _Record:
        """Return this place's content as a record. Raises InputError for another type or unknown keys."""
        try:
            return msgspec.convert({} if value is None else value, kind)
        except (msgspec.ValidationError, ValueError) as error:
            raise self.refuse(str(error)) from error

    def step(self, kind: type[_Step], **fields: object) -> _Step:
        """Return a step of the preprocessing. Raises InputError where a field is out of its bounds."""
        given = {name: value for name, value in fields.items() if value is not None}
        return self.read({"step": kind.__struct_config__.tag, **msgspec.to_builtins(given)}, kind)
