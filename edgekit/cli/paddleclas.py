"""PaddleClas's `-c FILE.yaml` and `-o Section.key=VALUE`, for commands whose output is `-o` too."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.training.recipe.read import Use

F = TypeVar("F", bound=Callable[..., Any])
CHANGE = re.compile(r"[A-Za-z]\w*(\.\w+)+=")


def config_options(output: str, metavar: str) -> Callable[[F], F]:
    """Add `-c`, and an `-o` that takes the command's output and changes of the configuration.

    Args:
        output: Help of the output.
        metavar: `DIR` or `FILE`.
    """

    def decorate(function: F) -> F:
        function = click.option(
            "-o", "--output", "outputs", multiple=True, metavar=f"{metavar}|KEY=VALUE",
            help=f"{output}  With --config also a value of the file, like Global.epochs=20.",
        )(function)  # fmt: skip
        return click.option(
            "-c", "--config", type=click.Path(path_type=Path), metavar="FILE",
            help="Training configuration of PaddleClas (YAML), for what is not given otherwise.",
        )(function)  # fmt: skip

    return decorate


def split_outputs(config: Path | None, outputs: Sequence[str]) -> tuple[Path | None, list[str]]:
    """Return the last output among the values of `-o`, if any, and the changes of the configuration."""
    changes = [each for each in outputs if CHANGE.match(each)]
    paths = [each for each in outputs if not CHANGE.match(each)]
    if changes and config is None:
        raise click.UsageError(f"-o {changes[0]} changes a configuration: give it with --config FILE")
    return Path(paths[-1]) if paths else None, changes


def exported_name(use: Use, name: str | None) -> str:
    """Return the exported model of a configuration, which must have the weights that are asked for.

    Args:
        use: The configuration.
        name: NAME as typed; None takes the network's.

    Raises:
        InputError: The model is not exported, or from other weights than `Global.pretrained_model`.
    """
    from edgekit._files import sha256_file
    from edgekit.convert.manifest import find_artifacts

    name = name or use.model
    words = ["edgekit", "export", use.model, "--weights", str(use.weights or "pretrained"), "--name", name]
    hint = shlex.join(words if name != use.model else words[:-2])
    try:
        _, manifest = find_artifacts(name)
    except InputError as error:
        raise InputError(str(error), hint=hint) from error
    if use.weights is None:
        return name
    try:
        wanted = sha256_file(use.weights)
    except OSError as error:
        raise InputError(f"reading the weights {use.weights}: {error.strerror or error}") from error
    if manifest.source_sha256 != wanted:
        raise InputError(f"using {name}: it was exported from other weights than {use.weights}", hint=hint)
    return name
