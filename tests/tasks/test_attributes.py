"""PaddleClas's attributes: texts and classes by hand from the rules of its post-processing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.convert.importing.attributes import ATTRIBUTES
from edgekit.convert.importing.place import Place
from edgekit.core.spec import Postprocess
from edgekit.errors import InputError, UnsupportedError
from edgekit.tasks.multilabel import Attributed
from edgekit.tasks.registry import task_of
from edgekit.tasks.task import Asked, Shown, Task, written_rule
from tests.manifests import manifest


def rule(name: str, **arguments: object) -> Postprocess:
    return ATTRIBUTES[name](arguments, Place(Path("inference.yml")))


def task(name: str, **arguments: object) -> Task:
    found = rule(name, **arguments)
    fields = {"postprocess": written_rule(found), "num_classes": len(found.thresholds)}
    return task_of(manifest("multilabel", **fields))


def answer(model: Task, scores: np.ndarray) -> Attributed:
    (found,) = model.answers({"y": scores[None]}, [Shown("a.jpg", 8, 8)], Asked())
    assert isinstance(found, Attributed)
    return found


def a_person(**passing: float) -> np.ndarray:
    scores = np.full(26, 0.1, np.float32)
    for number, score in passing.items():
        scores[int(number.lstrip("c"))] = score
    return scores


def test_a_person() -> None:
    found = answer(
        task("PersonAttribute"),
        a_person(c22=0.9, c20=0.4, c24=0.2, c1=0.35, c18=0.55, c17=0.51, c3=0.3, c5=0.6, c7=0.7, c11=0.4),
    )
    assert found.attributes == (
        "Female", "Age18-60", "Side", "Glasses: True", "Hat: False", "HoldObjectsInFront: False", "Backpack",
        "Upper: LongSleeve UpperLogo UpperSplice", "Lower:  Trousers", "No boots",
    )  # fmt: skip
    # Glasses pass from 0.3 on, holding from 0.6.
    assert [number for number, passes in enumerate(found.output) if passes] == [1, 5, 7, 17, 22]
    assert found.as_dict().keys() == {"attributes", "output", "filename"}
    # Equal scores: the first of a group; a threshold is to be exceeded.
    found = answer(task("PersonAttribute"), np.full(26, 0.5, np.float32))
    assert found.attributes[:3] == ("Male", "AgeLess18", "Front")
    assert found.attributes[6:9] == ("No bag", "Upper: ShortSleeve", "Lower:  LowerStripe")
    assert sum(found.output) == 1
    # The classes' thresholds stay at one half where the texts' is another, as in PaddleClas.
    found = answer(task("PersonAttribute", threshold=0.8), a_person(c22=0.7, c8=0.9, c12=0.85))
    assert found.attributes[0] == "Male" and found.output[22] == 1
    assert found.attributes[8] == "Lower:  LowerStripe Shorts"


def test_a_vehicle_is_one_text() -> None:
    scores = np.zeros(19, np.float32)
    scores[[4, 11]] = 0.75, 0.5
    found = answer(task("VehicleAttribute"), scores)
    assert found.attributes == "Color: (red, prob: 0.75), Type: (suv, prob: 0.5)"
    assert found.output == (0, 0, 0, 0, 1, *[0] * 14)
    found = answer(task("VehicleAttribute", color_threshold=0.8), scores)
    assert found.attributes == "Color unknown, Type: (suv, prob: 0.5)"
    assert found.line().startswith("attributes: Color unknown, Type: (suv, prob: 0.5), output: [0, 0,")


def test_tables_and_faces() -> None:
    scores = np.array([0.6, 0.4, 0.6, 0.4, 0.6, 0.6], np.float32)
    found = answer(task("TableAttribute", angle_threshold=0.7), scores)
    assert found.attributes == (
        "Scanned", "Numerous", "Black-and-White", "Blurry", "Without-Obstacles", "Horizontal",
    )  # fmt: skip
    assert found.output == (1, 0, 1, 0, 1, 0)
    found = answer(task("FaceAttribute"), np.where(np.arange(40) == 31, 0.7, 0.6).astype(np.float32))
    assert found.attributes == ("Female", "Smiling", "Old")
    with pytest.raises(InputError, match="convert_cn"):
        rule("FaceAttribute", convert_cn=True)


def test_findings_are_the_classes_that_pass() -> None:
    model = task("TableAttribute")
    found = model.findings(answer(model, np.array([0.6, 0.4, 0.9, 0.4, 0.4, 0.4], np.float32)))
    assert [(each.class_id, each.label) for each in found] == [(2, None), (0, None)]


def test_agreement_sees_choices_that_no_threshold_decides() -> None:
    model, wanted = task("PersonAttribute"), a_person(c24=0.2, c19=0.3, c20=0.3001)
    for number, score, agrees in ((24, 0.05, False), (19, 0.3002, True), (1, 0.31, False)):
        own = wanted.copy()
        own[number] = score
        agreement = model.agreement({"y": own[None]}, {"y": wanted[None]}, 1e-3)
        assert agreement is not None and agreement.agreeing == (agrees,), number


def test_thresholds_and_numbers_of_classes_that_do_not_fit_are_refused() -> None:
    model = task("TableAttribute")
    with pytest.raises(UnsupportedError, match="thresholds of their own"):
        model.answers({"y": np.zeros((1, 6), np.float32)}, [Shown("a", 8, 8)], Asked(threshold=0.2))
    written = written_rule(rule("TableAttribute"))
    written["attributes"]["every"][0]["parts"][0]["classes"] = [6]
    with pytest.raises(InputError, match="class 6, which has no threshold"):
        task_of(manifest("multilabel", postprocess=written))
