"""Templates of HTML pages."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.errors import ToolError

if TYPE_CHECKING:
    import jinja2


def load_template(path: Path, *packages: str) -> jinja2.Template:
    """Load the template of a page.

    Args:
        path: Path of the `.j2` file.
        packages: Packages that the page needs besides jinja2.

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

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(path.read_text(encoding="utf-8"))
