"""Results on stdout, and lines for the user on stderr."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

import click

from edgekit._text import json_printable, printable

if TYPE_CHECKING:
    from edgekit.core.artifact import Manifest
    from edgekit.report.grid import Table


def echo_artifacts(directory: object, manifest: Manifest, *, changed: bool) -> None:
    """Write an artifact directory's contents and failed checks to stdout."""
    from edgekit.core.artifact import ArtifactKind
    from edgekit.core.units import format_bytes
    from edgekit.report.grid import Table

    rows = []
    for kind in ArtifactKind:
        artifact, failure = manifest.artifact(kind), manifest.failure(kind)
        if artifact is not None:
            made_by = f"{artifact.tool} {artifact.tool_version}" + ("  FAILED its check" if failure else "")
            figures = (format_bytes(artifact.size_bytes), artifact.sha256[:12], made_by)
            rows.append((f"  {kind.value}", artifact.main_file, *figures))
        elif failure is not None:
            kept = "failed its check and was not kept (--keep-failed keeps it)"
            rows.append((f"  {kind.value}", "", "", "", kept))
    echo_table(Table(title=f"{directory}{'' if changed else '  (nothing has changed)'}", rows=tuple(rows)))


def echo_json(value: Any) -> None:
    """Write a msgspec-encodable value to stdout as one indented JSON document."""
    import msgspec

    click.echo(json_printable(msgspec.json.format(msgspec.json.encode(value), indent=2).decode()))


def color() -> bool | None:
    """Return click.echo's `color`: False with NO_COLOR (no-color.org), else None for the terminal's."""
    return False if os.environ.get("NO_COLOR") else None


def echo_table(*tables: Table) -> None:
    """Write tables to stdout, as wide as the terminal."""
    from edgekit.report.text import as_text

    click.echo(as_text(tables, width=terminal_width()), color=color())


def note(message: str) -> None:
    """Write a line for the user to stderr."""

    click.echo(printable(message), err=True)


def terminal_width() -> int | None:
    """Return a table line's width in characters; None without a terminal and without `$COLUMNS`."""
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS"):
        return None
    return shutil.get_terminal_size().columns
