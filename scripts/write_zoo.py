"""Write docs/zoo.svg, the README's picture of the zoo; run it after a change of cards or counts."""

from __future__ import annotations

from pathlib import Path

from edgekit._files import write_atomic
from edgekit.pages.zoo import zoo_picture

PAGE = Path(__file__).parent.parent / "docs" / "zoo.svg"


def page() -> str:
    """Return the picture as SVG."""
    return zoo_picture()


if __name__ == "__main__":
    write_atomic(PAGE, page())
    print(PAGE)
