"""The card by which a trained network is exported where that of the zoo would answer otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from edgekit._files import write_atomic
from edgekit.core.spec import AnswerKind, ModelSpec
from edgekit.tasks.multilabel import MULTILABEL
from edgekit.tasks.truth.attributes import ATTRIBUTE_THRESHOLD
from edgekit.training.settings import TrainSettings
from edgekit.training.start import model_preprocess
from edgekit.zoo.registry import find_model

CARD_FILE = "card.toml"


def write_card(settings: TrainSettings, labels: Path) -> Path | None:
    """Write the card of a run that the model's own does not describe.

    Such is a run with several labels of a model that answers one, or a fixed number of others, and one whose
    pictures were prepared in another way than by size.

    Args:
        settings: The run.
        labels: File of the names of the classes; where there is none the card has the model's.

    Returns:
        `card.toml` in the run's output; None where the model's own card does.

    Raises:
        OutputError: It cannot be written.
    """
    spec = find_model(settings.model)
    changed = settings.preprocess is not None and settings.preprocess != spec.preprocess
    several = settings.multilabel and (spec.task, spec.num_classes) != (MULTILABEL, settings.num_classes)
    if not (changed or several):
        return None
    preprocess = model_preprocess(spec, settings)
    if several:
        rule = {"kind": AnswerKind.MULTILABEL.value, "thresholds": [ATTRIBUTE_THRESHOLD]}
        spec = msgspec.structs.replace(spec, task=MULTILABEL, postprocess=rule, display_labels=())
    made = ModelSpec(
        name=spec.name,
        family=spec.family,
        summary=f"{spec.name} with weights of a training run",
        task=spec.task,
        postprocess=spec.postprocess,
        num_classes=settings.num_classes,
        input_shape=(spec.input_shape[0], *preprocess.size),
        network=spec.network,
        preprocess=preprocess,
        labels=str(labels.absolute()) if labels.is_file() else spec.labels,
        display_labels=spec.display_labels,
    )
    path = Path(settings.output) / CARD_FILE
    write_atomic(path, msgspec.toml.encode(_without_none(msgspec.to_builtins(made))))
    return path


def _without_none(value: Any) -> Any:
    """Leave out what is None, for which TOML has no word."""
    if isinstance(value, dict):
        return {name: _without_none(each) for name, each in value.items() if each is not None}
    return [_without_none(each) for each in value] if isinstance(value, list | tuple) else value
