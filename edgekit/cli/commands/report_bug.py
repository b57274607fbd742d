"""`edgekit report-bug`."""

from __future__ import annotations

import contextlib
import platform
import sys
from pathlib import Path

import click

from edgekit.cli.output import note

FILE = "edgekit-bug.txt"


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), default=FILE,
              show_default=True, metavar="FILE", help="The file to write.")  # fmt: skip
def command(output: Path) -> None:
    """Write a file for a bug report: versions, what `doctor` finds, and the log of the last failed command.

    Home directories, user and host names, addresses and devices' serials are taken out. Nothing is sent: read
    the file, and attach it where you report the bug.
    """
    from edgekit._files import write_atomic
    from edgekit.cli.last_command import path, redact

    try:
        log = path().read_text(errors="replace")
    except OSError:
        log = "(none is kept)"
    parts = (("versions", _versions()), ("doctor", _doctor()), ("the last command that failed", log))
    text = "\n".join(f"== {title}\n{body.rstrip()}\n" for title, body in parts)
    write_atomic(output, redact(text, _attached()))
    note(f"nothing was sent; read {output} before you attach it")
    click.echo(output)


def _versions() -> str:
    import importlib.metadata

    from edgekit import __version__

    names = {
        f"{each.metadata['Name']} {each.version}"
        for each in importlib.metadata.distributions()
        if each.metadata["Name"]
    }
    lines = [
        f"edgekit {__version__}",
        f"Python {sys.version}".replace("\n", " "),
        f"{platform.platform()}, libc {' '.join(platform.libc_ver())}",
        *sorted(names, key=str.lower),
    ]
    return "\n".join(lines)


def _doctor() -> str:
    from edgekit.toolchain.doctor import examine

    return "\n".join(
        " ".join(filter(None, (check.state.value, check.name, check.version, check.where)))
        for check in examine()
    )


def _attached() -> list[str]:
    """Return the serials of what a running adb server has, and of virtual devices."""
    from edgekit.cli.completing import device_names
    from edgekit.cli.last_command import named

    with contextlib.suppress(Exception):  # a report is made of what is there
        return [*device_names(), *named(())]
    return named(())
