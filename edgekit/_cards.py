"""Where the model cards, label sets and sample pictures of this edgekit lie."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from edgekit.errors import ToolError

_PACKAGE = "edgekit.cards"


def cards_directory() -> Path:
    """Return the directory of the cards, label sets and sample pictures.

    Raises:
        ToolError: This installation lacks the directory.
    """
    try:
        directory = Path(str(importlib.resources.files(_PACKAGE)))
    except ModuleNotFoundError:
        # The checkout itself on sys.path, as in Paddle's own environment beside an editable install.
        directory = Path(__file__).parents[1] / "models"
    if not directory.is_dir():
        raise ToolError(
            f"reading the model cards: {directory} does not exist",
            hint="install edgekit again: pip install .",
        )
    return directory
