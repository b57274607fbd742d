"""`edgekit doctor`."""

from __future__ import annotations

import click

from edgekit.cli.options import echo_json, json_option
from edgekit.errors import ToolError


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Show every component, its version, where it is, what it is for, and how to mend what is missing.

    Exit code 4 where something that everything needs is missing or broken.
    """
    from edgekit.toolchain.doctor import State, examine

    checks = examine()
    if as_json:
        echo_json(checks)
    else:
        width = max(len(check.name) for check in checks)
        marks = {State.OK: ("ok", "green"), State.MISSING: ("--", "yellow"), State.BROKEN: ("!!", "red")}
        for check in checks:
            mark, color = marks[check.state]
            found = " ".join(part for part in (check.version, check.where) if part)
            head = f"{click.style(mark, fg=color)} {check.name:<{width}}  "
            click.echo(head + (f"{found}  " if found else "") + click.style(f"({check.purpose})", dim=True))
            if check.remedy:
                click.echo(f"   {'':<{width}}  -> {check.remedy}")
    broken = [check.name for check in checks if check.state is State.BROKEN]
    if broken:
        raise ToolError(f"broken or missing: {', '.join(broken)}", hint="run the commands behind the arrows")
