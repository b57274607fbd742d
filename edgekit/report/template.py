"""The frame and the building blocks of every HTML page that edgekit writes.

A template may extend `frame.html.j2` and import the macros of `blocks.html.j2`. Pages are self-contained:
their Content-Security-Policy forbids every request, and allows the one script whose hash it names.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.errors import ToolError
from edgekit.report.grid import Table
from edgekit.report.text import column_blocks

if TYPE_CHECKING:
    import jinja2
    from markupsafe import Markup

HERE = Path(__file__).parent
# Sorting and filtering of every table with `filters`.
SORTING = HERE / "sorting.js"
# Characters of a table that fit a sheet of A4 in the size of print, and in the smaller one of the tables that
# are sorted on the screen.
PAPER_WIDTH, SMALL_PAPER_WIDTH = 118, 134
# Longest name that is not wrapped on paper, and on a phone.
MAX_NAME, MAX_WORD = 26, 15
# Between a separator and what follows it, but neither within an address or a time nor within `x1_0`.
PARTING = re.compile(r"(?<=[\W_])(?=[^\W_])(?!(?<=\d\W)\d)(?!(?<=x\d_)\d)")
# Words without separators that are longer than this are parted before their capitals.
MAX_PART = 12
CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def load_template(path: Path, *packages: str, script: Path | None = None) -> jinja2.Template:
    """Load the template of a page, with the page's policy and script among its globals.

    Args:
        path: Path of the `.j2` file.
        packages: Packages that the page needs besides jinja2.
        script: JavaScript file that the page contains; without one the page runs no script.

    Raises:
        ToolError: One of the packages is not installed.
    """
    for module in ("jinja2", *packages):
        if importlib.util.find_spec(module) is None:
            raise ToolError(
                f"making an HTML page: the package {module} is not installed",
                hint="pip install 'edgekit[report]'",
            )
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True,
        loader=jinja2.FileSystemLoader([path.parent, HERE]),
    )  # fmt: skip
    environment.filters |= {"blocks": _blocks, "name": _name}
    code = None if script is None else script.read_text(encoding="utf-8")
    environment.globals |= {"script": code, "policy": _policy(code)}
    return environment.get_template(path.name)


def _policy(script: str | None) -> str:
    """Return the page's Content-Security-Policy."""
    rules = ["default-src 'none'", "style-src 'unsafe-inline'", "img-src data:"]
    if script is not None:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        rules.append(f"script-src 'sha256-{digest}'")
    return "; ".join(rules)


def _blocks(table: Table) -> list[list[int]]:
    """Return the columns of each part of a table, as many as fit a sheet of paper."""
    widths = [
        max(map(len, (*heading.split(), *(row[column] for row in table.rows))))
        for column, heading in enumerate(table.header)
    ]
    widths[0] = min(widths[0], MAX_NAME)
    return column_blocks(table, widths, SMALL_PAPER_WIDTH if table.filters else PAPER_WIDTH)


@lru_cache(maxsize=4096)
def _name(text: str) -> Markup:
    """Return a name that is wrapped after an underscore or a slash rather than within a word."""
    from markupsafe import Markup

    return Markup("<wbr>").join(_parts(text))


def _parts(text: str) -> list[str]:
    """Return the parts of a text after which a line may end, besides its spaces: of long words alone."""
    parts = [""]
    for word in re.findall(r"\s*\S+|\s+", text):
        pieces = PARTING.split(word) if len(word) > MAX_WORD else [word]
        first, *others = (
            part for one in pieces for part in (CAPITAL.split(one) if len(one) > MAX_PART else [one])
        )
        parts[-1] += first
        parts += others
    return parts
