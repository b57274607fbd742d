"""Interface of the tasks: what a model's outputs mean, from the picture to the answer.

A task is a subclass of `Task` in a file of its own, which names it as TASK. Outputs are arrays by the
names of the manifest's outputs, as an engine computes them for a batch.
"""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import msgspec

from edgekit._text import one_line
from edgekit.core.artifact import Manifest
from edgekit.core.parity import Agreement
from edgekit.errors import InputError, UnsupportedError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekit.tasks.truth.evaluation import Evaluation, Truth
    from edgekit.vision.decode import Pixels

Outputs = Mapping[str, "NDArray[Any]"]


class Shown(NamedTuple):
    """A picture that was computed.

    Attributes:
        name: Path of the picture as given, or `array 0`, `bytes 0`.
        height: Height before preprocessing, pixels.
        width: Width before preprocessing, pixels.
        thumbnail: A small copy as JPEG; None where none was asked for.
        is_input: Whether it came as the network's input, so that no step of the preprocessing was done.
    """

    name: str
    height: int
    width: int
    thumbnail: bytes | None = None
    is_input: bool = False


class Finding(NamedTuple):
    """One class of an answer.

    Attributes:
        class_id: Class number.
        label: Name of the class; None where the model has no labels.
        score: Score of the class; in an answer of areas the share of the picture's pixels.
        box: Corners x0, y0, x1, y1 in pixels of the picture; None of an answer without boxes.
    """

    class_id: int
    label: str | None
    score: float
    box: tuple[float, float, float, float] | None = None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Limits that a caller sets to answers.

    Attributes:
        top_k: Maximum number of classes or objects a picture; None leaves the number to the model.
        threshold: Least score of an answer; None leaves it to the model.
    """

    top_k: int | None = None
    threshold: float | None = None


class Answer(Protocol):
    """Answer for one picture, a msgspec struct."""

    @property
    def filename(self) -> str:
        """Path of the picture as given, or `array 0`, `bytes 0`."""

    def as_dict(self) -> dict[str, Any]:
        """Return the answer as the Python interface yields it."""

    def line(self) -> str:
        """Return the answer as one printable line."""


def answer_line(values: Mapping[str, Any]) -> str:
    """Return an answer's values as one line in PaddleClas's form, without the controls of a file's name."""
    shown = {**values, "filename": one_line(values["filename"])}
    return ", ".join(f"{key}: {value}" for key, value in shown.items())


def written_rule(rule: msgspec.Struct) -> dict[str, Any]:
    """Return post-processing data as in a manifest that has been read: with its defaults."""
    written: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(rule))
    return written


class Task(ABC):
    """Meaning of one model's outputs.

    Args:
        manifest: Manifest of the model.
        labels: Names of the classes in order; empty where the model has none.

    Raises:
        InputError: The manifest's post-processing is not this task's.
    """

    name: ClassVar[str]
    """Value of the manifest's `task`."""
    summary: ClassVar[str]
    """Noun for a model of the task, with its article, e.g. `a classifier of pictures`."""
    activation: ClassVar[str] = "none"
    """Activation that an export adds to a network of the zoo: `softmax`, `sigmoid` or `none`."""
    output_ops: ClassVar[tuple[str, ...]] = ()
    """Operators that an export adds instead of `activation` if asked, by the names of PaddleSeg's export."""
    takes_pictures: ClassVar[bool] = True
    """False where the model's inputs are no pictures, so that nothing is answered."""
    draws: ClassVar[bool] = False
    """True where `draw` shows an answer on its picture."""
    answers_pixels: ClassVar[bool] = False
    """True where an answer holds a value for each pixel of its picture, so that it is as large."""
    one_class: ClassVar[bool] = False
    """True where only the best class of an answer is claimed to be right."""
    score_name: ClassVar[str] = "score"
    """Name of the figure in `Finding.score`."""
    Rule: ClassVar[type[Any]]
    """Struct of the manifest's `postprocess`."""

    def __init__(self, manifest: Manifest, labels: Sequence[str] = ()) -> None:
        self.manifest = manifest
        self.labels = tuple(labels)
        self.rule = self.read_rule(manifest.postprocess, f"the manifest of {manifest.name}")

    @classmethod
    def read_rule(cls, postprocess: Mapping[str, Any], place: str) -> Any:
        """Return post-processing data, which stands in `place`, as `Rule`. Raises InputError."""
        try:
            return msgspec.convert(postprocess, cls.Rule)
        except (msgspec.ValidationError, ValueError) as error:
            raise InputError(
                f"reading {place}: its postprocess is none of {cls.name}: {error}",
                hint=f"correct postprocess in {place}",
            ) from error

    def further_inputs(self, pictures: Sequence[Shown]) -> dict[str, NDArray[np.float32]]:
        """Return the inputs that a model takes beside pictures, a row for each picture, by name.

        Raises:
            UnsupportedError: The model takes inputs of which the task knows nothing.
        """
        raise UnsupportedError(
            f"answering with {self.manifest.name}: {self.summary} takes nothing but pictures",
            hint=f"edgekit predict {shlex.quote(self.manifest.name)} inputs.npz -o outputs.npz",
        )

    @property
    def divides(self) -> bool:
        """True where every output has a row for each picture, so that a batch can be computed in pieces."""
        return True

    @property
    def decides(self) -> bool:
        """True where outputs are the answers themselves, so that errors of their numbers mean nothing."""
        return False

    def cut(self, outputs: Outputs, count: int) -> dict[str, NDArray[Any]]:
        """Return the outputs for the first `count` pictures of a batch; further places hold no pictures."""
        return {name: values[:count] for name, values in outputs.items()}

    @abstractmethod
    def answers(self, outputs: Outputs, pictures: Sequence[Shown], asked: Asked) -> list[Answer]:
        """Return the answers for a batch, one a picture, in order."""

    def documents(self, answer: Answer) -> Sequence[Any]:
        """Return an answer as the JSON documents that `predict --json` lists."""
        return [answer]

    def findings(self, answer: Answer) -> Sequence[Finding]:
        """Return the classes of an answer for tables and pages, the best first."""
        return ()

    def mask(self, answer: Answer, side: int) -> bytes | None:
        """Return the areas of an answer as a PNG, its long side at most `side` pixels; None without areas."""
        return None

    def draw(self, pixels: Pixels, answer: Answer) -> None:
        """Draw an answer onto its picture, uint8[H,W,3] BGR.

        Raises:
            UnsupportedError: Answers of this task cannot be drawn.
        """
        raise UnsupportedError(f"drawing answers of {self.manifest.name}: {self.summary} has none to draw")

    def files(self, answer: Answer) -> Mapping[str, bytes]:
        """Return files to write beside an answer's drawing, by the suffix to the drawing's stem."""
        return {}

    @abstractmethod
    def agreement(self, outputs: Outputs, reference: Outputs, tolerance: float | None) -> Agreement | None:
        """Compare the answers of outputs with those of a reference's, input by input.

        Args:
            outputs: Outputs for a batch.
            reference: Outputs of the reference for the same inputs.
            tolerance: Relative error of outputs; an answer that a smaller error changes counts as equal.

        Returns:
            None where outputs of this task give no answers.
        """

    def truth(self, list_path: Path, data: Path, tell: Callable[[str], None]) -> Truth[Any]:
        """Return the truth in a list of the task's form, with which `edgekit eval` compares answers.

        Args:
            list_path: Path of the list.
            data: Directory to which the list's paths are relative.
            tell: Called with a line for the user about what is left out.

        Raises:
            InputError: The list is wrong.
            UnsupportedError: Answers of this task are compared with no truth.
        """
        inputs = ", ".join(f"{each.name} {each.dtype}{list(each.shape)}" for each in self.manifest.inputs)
        raise UnsupportedError(
            f"evaluating {self.manifest.name}: {self.summary} has no truth to compare with "
            f"(it takes {inputs})",
            hint=f"edgekit verify {shlex.quote(self.manifest.name)} compares its outputs",
        )

    @classmethod
    def evaluation(cls) -> type[Evaluation] | None:
        """Return the type of the document that `truth` concludes with; None where there is none."""
        return None
