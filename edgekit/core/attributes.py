"""Rule by which scores of classes become a picture's attributes, texts such as `Hat: True`, as data."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

ClassId = Annotated[int, Meta(ge=0, lt=100_000)]
NAME, SCORE = "{name}", "{score}"


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Piece of an attribute's text, decided by the scores of some classes.

    Attributes:
        classes: Class numbers.
        names: Text of each class.
        every: True for the texts of all classes that pass, False for the best class's text, where it passes.
        above: A class passes whose score is greater than this; None where every class passes.
        at_least: True where a score that equals `above` passes too.
        otherwise: Text where no class passes; None for the text of the best class.
        form: What is written for a class that passes: `{name}` is its text, `{score}` its score.
    """

    classes: Annotated[tuple[ClassId, ...], Meta(min_length=1)]
    names: tuple[str, ...]
    every: bool = False
    above: float | None = None
    at_least: bool = False
    otherwise: str | None = None
    form: str = NAME

    def __post_init__(self) -> None:
        if len(self.names) != len(self.classes):
            raise ValueError(f"{len(self.names)} names for {len(self.classes)} classes of an attribute")

    def texts(self, scores: list[float]) -> list[str]:
        """Return the texts for a picture's scores; of equal scores the first class is the best."""
        best, passing = self._decided([scores[each] for each in self.classes])
        if not passing:
            return [self.names[best] if self.otherwise is None else self.otherwise]
        return [
            self.form.replace(NAME, self.names[each]).replace(SCORE, repr(scores[self.classes[each]]))
            for each in passing
        ]

    def agrees(self, scores: list[float], wanted: list[float], slack: float) -> bool:
        """Return True where scores decide as a reference's, or it is within the slack of deciding else."""
        own, true = ([each[number] for number in self.classes] for each in (scores, wanted))
        if self._decided(own) == self._decided(true):
            return True
        top = sorted(true)[-2:]
        close = self.above is not None and any(abs(each - self.above) < slack for each in true)
        return close or top[-1] - top[0] < slack

    def _decided(self, own: list[float]) -> tuple[int, list[int]]:
        """Return the positions of the best class, and of the classes that pass."""
        best = own.index(max(own))
        tried = range(len(own)) if self.every else (best,)
        return best if self.otherwise is None else 0, [each for each in tried if self._passes(own[each])]

    def _passes(self, score: float) -> bool:
        return self.above is None or score > self.above or (self.at_least and score == self.above)


class Attribute(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One attribute of a picture: a beginning, and the texts of its parts after it, joined by blanks.

    Attributes:
        begins: Beginning of the text, in front of the first part without a blank.
        parts: Pieces of the text; texts that are empty are left out.
    """

    begins: str = ""
    parts: Annotated[tuple[Part, ...], Meta(min_length=1)]

    def text(self, scores: list[float]) -> str:
        """Return the attribute of a picture with these scores."""
        texts = [text for part in self.parts for text in part.texts(scores)]
        return self.begins + " ".join(filter(None, texts))


class Attributes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """All attributes of a picture.

    Attributes:
        every: The attributes, in order; one whose text is empty is left out.
        joined: What joins them to one text; None for a list of texts.
    """

    every: Annotated[tuple[Attribute, ...], Meta(min_length=1)]
    joined: str | None = None

    @property
    def parts(self) -> list[Part]:
        """The parts of all attributes."""
        return [part for attribute in self.every for part in attribute.parts]

    @property
    def most_class(self) -> int:
        """The highest class number that decides on an attribute."""
        return max(each for part in self.parts for each in part.classes)

    def texts(self, scores: list[float]) -> list[str] | str:
        """Return a picture's attributes in PaddleClas's form: a list of texts, or one text."""
        texts = [text for text in (each.text(scores) for each in self.every) if text]
        return texts if self.joined is None else self.joined.join(texts)
