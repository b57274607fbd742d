"""`edgekit cache`."""

from __future__ import annotations

import click

from edgekit.cli.options import json_option
from edgekit.cli.output import echo_json, echo_table, note


@click.group()
def command() -> None:
    """Show and free edgekit's cache on this machine."""


@command.command("list")
@json_option
def list_cache(as_json: bool) -> None:
    """List the parts of the cache with their sizes."""
    from edgekit.core.units import format_bytes
    from edgekit.toolchain.cache import cache_root, list_parts

    parts = list_parts()
    if as_json:
        echo_json({"root": str(cache_root()), "parts": parts})
        return
    from edgekit.report.grid import Table

    rows = tuple((part.name, format_bytes(part.size_bytes), str(part.files)) for part in parts)
    echo_table(Table(title=str(cache_root()), header=("part", "size", "files"), rows=rows))


@command.command("clean")
@click.argument("parts", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Delete every part.")
def clean_cache(parts: tuple[str, ...], everything: bool) -> None:
    """Delete PARTS of the cache (`edgekit cache list` names them); edgekit fetches needed parts again."""
    from edgekit.core.units import format_bytes
    from edgekit.toolchain.cache import clean, list_parts

    present = {part.name for part in list_parts()}
    if everything == bool(parts):
        raise click.UsageError("name parts of the cache, or --all")
    freed = clean(sorted(present) if everything else parts)
    note(f"freed {format_bytes(freed)}")
