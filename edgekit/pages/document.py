"""A self-contained HTML page: one template with its style and script inside, which loads nothing."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from edgekit.report.template import load_template

PLACE = Path(__file__).parent


def document(name: str, *, script: str | None = None, **values: Any) -> str:
    """Render a page.

    Args:
        name: Name of the template without its ending.
        script: Name of the page's script without its ending; no other script runs on the page.
        values: Values for the template.

    Raises:
        ToolError: jinja2 is not installed.
    """
    template = load_template(
        PLACE / f"{name}.html.j2", script=None if script is None else PLACE / f"{script}.js"
    )
    return template.render(**values)


def jpeg_address(content: bytes) -> str:
    """Return a JPEG as the address of an `<img>`."""
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"
