"""PaddleClas's attributes: what its post-processing says of people, vehicles, tables and faces, as data.

The classes, thresholds and texts are those of release 2.6, deploy/python/postprocess.py.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from edgekit.convert.importing.place import Place
from edgekit.core.attributes import Attribute, Attributes, Part
from edgekit.core.spec import AnswerKind, Postprocess

# The thresholds of `output` stay at this where the texts' own threshold is another.
_FIXED = 0.5


class _Person(msgspec.Struct, forbid_unknown_fields=True):
    threshold: float = 0.5
    glasses_threshold: float = 0.3
    hold_threshold: float = 0.6


class _Vehicle(msgspec.Struct, forbid_unknown_fields=True):
    color_threshold: float = 0.5
    type_threshold: float = 0.5


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    source_threshold: float = 0.5
    number_threshold: float = 0.5
    color_threshold: float = 0.5
    clarity_threshold: float = 0.5
    obstruction_threshold: float = 0.5
    angle_threshold: float = 0.5


class _Face(msgspec.Struct, forbid_unknown_fields=True):
    threshold: float = 0.65
    convert_cn: bool = False


def _flag(number: int, yes: str, no: str, above: float, begins: str = "") -> Attribute:
    part = Part(classes=(number,), names=(yes,), above=above, otherwise=no)
    return Attribute(begins=begins, parts=(part,))


def _best(first: int, names: str) -> Part:
    """Return a choice of the best of neighbouring classes, of which `names` has the texts."""
    words = tuple(names.split())
    return Part(classes=tuple(range(first, first + len(words))), names=words)


def _rule(thresholds: tuple[float, ...], attributes: Attributes) -> Postprocess:
    return Postprocess(kind=AnswerKind.ATTRIBUTES, thresholds=thresholds, attributes=attributes)


def _person(arguments: object, place: Place) -> Postprocess:
    given = place.read(arguments, _Person)
    limit = given.threshold

    def passing(part: Part, otherwise: str | None, *, every: bool) -> Part:
        return msgspec.structs.replace(part, above=limit, otherwise=otherwise, every=every)

    upper = passing(_best(4, "UpperStride UpperLogo UpperPlaid UpperSplice"), "", every=True)
    lower = _best(8, "LowerStripe LowerPattern LongCoat Trousers Shorts Skirt&Dress")
    every = (
        _flag(22, "Female", "Male", limit),
        Attribute(parts=(_best(19, "AgeLess18 Age18-60 AgeOver60"),)),
        Attribute(parts=(_best(23, "Front Side Back"),)),
        _flag(1, "True", "False", given.glasses_threshold, "Glasses: "),
        _flag(0, "True", "False", limit, "Hat: "),
        _flag(18, "True", "False", given.hold_threshold, "HoldObjectsInFront: "),
        Attribute(parts=(passing(_best(15, "HandBag ShoulderBag Backpack"), "No bag", every=False),)),
        Attribute(begins="Upper: ", parts=(_best(2, "ShortSleeve LongSleeve"), upper)),
        # Two blanks: one ends the beginning, one begins each text.
        Attribute(begins="Lower:  ", parts=(passing(lower, None, every=True),)),
        _flag(14, "Boots", "No boots", limit),
    )
    thresholds = [_FIXED] * 26
    thresholds[1], thresholds[18] = given.glasses_threshold, given.hold_threshold
    return _rule(tuple(thresholds), Attributes(every=every))


def _vehicle(arguments: object, place: Place) -> Postprocess:
    given = place.read(arguments, _Vehicle)
    colour = _best(0, "yellow orange green gray red blue white golden brown black")
    body = _best(10, "sedan suv van hatchback mpv pickup bus truck estate")
    parts = [
        msgspec.structs.replace(
            part, above=above, at_least=True, form=f"{name}: ({{name}}, prob: {{score}})",
            otherwise=f"{name} unknown",
        )
        for name, part, above in (
            ("Color", colour, given.color_threshold), ("Type", body, given.type_threshold),
        )
    ]  # fmt: skip
    thresholds = (given.color_threshold,) * len(colour.classes) + (given.type_threshold,) * len(body.classes)
    return _rule(thresholds, Attributes(every=tuple(Attribute(parts=(part,)) for part in parts), joined=", "))


def _table(arguments: object, place: Place) -> Postprocess:
    given = place.read(arguments, _Table)
    # PaddleClas compares the last two with the number's threshold for the texts, with their own for `output`.
    every = (
        _flag(0, "Scanned", "Photo", given.source_threshold),
        _flag(1, "Little", "Numerous", given.number_threshold),
        _flag(2, "Black-and-White", "Multicolor", given.color_threshold),
        _flag(3, "Clear", "Blurry", given.clarity_threshold),
        _flag(4, "Without-Obstacles", "With-Obstacles", given.number_threshold),
        _flag(5, "Horizontal", "Tilted", given.number_threshold),
    )
    return _rule(msgspec.structs.astuple(given), Attributes(every=every))


def _face(arguments: object, place: Place) -> Postprocess:
    given = place.read(arguments, _Face)
    if given.convert_cn:
        raise place.refuse("convert_cn: edgekit has the English names")
    text = (
        "CheekWhiskers ArchedEyebrows Attractive BagsUnderEyes Bald Bangs BigLips BigNose BlackHair "
        "BlondHair Blurry BrownHair BushyEyebrows Chubby DoubleChin Eyeglasses Goatee GrayHair HeavyMakeup "
        "HighCheekbones Male MouthSlightlyOpen Mustache NarrowEyes NoBeard OvalFace PaleSkin PointyNose "
        "RecedingHairline RosyCheeks Sideburns Smiling StraightHair WavyHair WearingEarrings WearingHat "
        "WearingLipstick WearingNecklace WearingNecktie Young"
    )
    names = text.split()
    opposites = {"Male": "Female", "Young": "Old"}
    every = tuple(
        _flag(number, name, opposites.get(name, ""), given.threshold) for number, name in enumerate(names)
    )
    return _rule((given.threshold,) * len(names), Attributes(every=every))


ATTRIBUTES: dict[str, Callable[[object, Place], Postprocess]] = {
    "PersonAttribute": _person,
    "VehicleAttribute": _vehicle,
    "TableAttribute": _table,
    "FaceAttribute": _face,
}
