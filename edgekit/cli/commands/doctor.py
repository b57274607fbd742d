"""`edgekit doctor`."""

from __future__ import annotations

import click

from edgekit.cli.options import json_option
from edgekit.cli.output import echo_json, echo_table
from edgekit.errors import ToolError


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Show every component, its version, where it is, what it is for, and how to mend what is missing.

    Exit code 4 where a component that everything needs is missing or broken.
    """
    from edgekit.report.grid import Table
    from edgekit.toolchain.doctor import State, examine

    checks = examine()
    if as_json:
        echo_json(checks)
    else:
        marks = {State.OK: ("ok", "green"), State.MISSING: ("--", "yellow"), State.BROKEN: ("!!", "red")}
        rows = []
        for check in checks:
            mark, hue = marks[check.state]
            words = [*filter(None, (check.version, check.where)), click.style(f"({check.purpose})", dim=True)]
            remedy = f"\n-> {check.remedy}" if check.remedy else ""
            rows.append((click.style(mark, fg=hue), check.name, " ".join(words) + remedy))
        echo_table(Table(rows=tuple(rows), colours=True))
    broken = [check.name for check in checks if check.state is State.BROKEN]
    if broken:
        raise ToolError(f"broken or missing: {', '.join(broken)}", hint="run the commands behind the arrows")
