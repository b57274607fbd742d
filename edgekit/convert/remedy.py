"""Hints of conversions: the command line that was typed, changed so that it works."""

from __future__ import annotations

import shlex

# Sizes of several inputs are options of one name; the last of an input counts.
_REPEATABLE = {"--input-shape"}


def with_options(command: str, options: str) -> str:
    """A command line with options in the place of its own of the same names.

    Args:
        command: As a manifest records it: every option in it has a value.
        options: `--formats onnx`, `--force`.
    """
    given = shlex.split(options)
    names = {word for word in given if word.startswith("-")} - _REPEATABLE
    if "--formats" in names and "nb" not in given[given.index("--formats") + 1].split(","):
        names.add("--nb-targets")
    return shlex.join([*_without(shlex.split(command), names), *given])


def without_option(command: str, name: str) -> str:
    """A command line without an option and its values."""
    return shlex.join(_without(shlex.split(command), {name}))


def _without(words: list[str], names: set[str]) -> list[str]:
    kept: list[str] = []
    index = 0
    while index < len(words):
        if words[index] in names:
            index += 2
        else:
            kept.append(words[index])
            index += 1
    return kept
