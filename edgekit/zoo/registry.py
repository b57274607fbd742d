"""Model cards: `models/*.toml`, installed as data of `edgekit.cards`, and the user's own."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import msgspec

from edgekit._cards import cards_directory
from edgekit._files import read_bytes
from edgekit._text import nearest
from edgekit.core.artifact import NAME_CHARACTERS, is_model_name
from edgekit.core.spec import ModelSpec
from edgekit.errors import InputError

CARD_SUFFIX = ".toml"


@cache
def model_names() -> tuple[str, ...]:
    """Return the names of the built-in models, alphabetically, without reading cards."""
    return tuple(sorted(path.stem for path in cards_directory().glob(f"*{CARD_SUFFIX}")))


@cache
def list_models() -> tuple[ModelSpec, ...]:
    """Return all built-in models: families in the order of their smallest network, networks by size.

    Raises:
        InputError: A card is malformed.
    """
    specs = [_built_in(name) for name in model_names()]
    smallest: dict[str, float] = {}
    for spec in specs:
        smallest[spec.family] = min(smallest.get(spec.family, float("inf")), _size(spec))
    return tuple(sorted(specs, key=lambda spec: (smallest[spec.family], spec.family, _size(spec), spec.name)))


def _size(spec: ModelSpec) -> float:
    if spec.published is None or spec.published.params_m is None:
        return float("inf")
    return spec.published.params_m


def find_model(name: str) -> ModelSpec:
    """Return the card of a built-in model, or the card at a path that ends in `.toml`.

    Raises:
        InputError: The model does not exist (the hint names the nearest), or its card is malformed.
    """
    if name.endswith(CARD_SUFFIX):
        return read_card(Path(name))
    names = model_names()
    if name not in names:
        meant = " or ".join(nearest(name, names))
        raise InputError(
            f"looking up the model {name!r}: no such model",
            hint=f"did you mean {meant}? `edgekit models list` shows all" if meant else "edgekit models list",
        )
    return _built_in(name)


def find_cards(names: Iterable[str]) -> dict[str, ModelSpec]:
    """Return the cards of those of the names that are built-in models."""
    return {name: _built_in(name) for name in {*names}.intersection(model_names())}


@cache
def _built_in(name: str) -> ModelSpec:
    return read_card(cards_directory() / f"{name}{CARD_SUFFIX}")


def read_card(path: Path) -> ModelSpec:
    """Read a card strictly; make the paths of its files absolute.

    Raises:
        InputError: The card cannot be read, is no TOML, or has missing or wrong fields.
    """
    content = read_bytes(path, "the model card", hint="edgekit models list")
    try:
        spec = msgspec.toml.decode(content, type=ModelSpec)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InputError(
            f"reading the model card {path}: {error}",
            hint="compare it with what `edgekit models show PPLCNet_x1_0 --json` prints",
        ) from error
    if not is_model_name(spec.name):
        raise InputError(
            f"reading the model card {path}: its name {spec.name!r} is not made of {NAME_CHARACTERS}",
            hint="correct `name` in the card",
        )
    directory = path.absolute().parent
    labels = directory / spec.labels
    return msgspec.structs.replace(
        spec,
        samples=tuple(
            msgspec.structs.replace(sample, file=str(directory / sample.file)) for sample in spec.samples
        ),
        labels=str(labels) if labels.is_file() else spec.labels,
    )


def how_to_import(name: str) -> str:
    """Return the commands that import a model that has only an official archive and no network here."""
    return f"edgekit fetch {name}, then edgekit import FILE --name {name}"
