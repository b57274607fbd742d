"""`edgekit profile`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli.options import (
    Count,
    IntList,
    adb_server_option,
    anyway_option,
    json_option,
    named_device,
    no_install_option,
    precision_option,
)
from edgekit.cli.output import echo_json, echo_table, note
from edgekit.cli.targets import find_subject

if TYPE_CHECKING:
    from edgekit.core.profile import Profile
    from edgekit.targets.target import Subject

DEVICE_THREADS = (1, 2, 4)
DEFAULT_REPEATS = 50


@click.command()
@click.argument("name", metavar="NAME")
@click.option("--device", "serial", metavar="SERIAL", callback=named_device,
              help="Count Paddle Lite's exact instructions on this virtual device.")  # fmt: skip
@adb_server_option
@click.option("--engine", metavar="WORD",
              help="Engine of this machine: onnxruntime, mnn or ncnn.  [default: onnxruntime]")  # fmt: skip
@precision_option
@click.option("--threads", type=IntList(),
              help="Numbers of threads.  [default: 1,2,4, as far as this machine has cores]")  # fmt: skip
@click.option("--repeats", type=Count(1), metavar="NUMBER",
              help="Inferences of a process; not for a device.  [default: 50]")  # fmt: skip
@click.option("--html", "page", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Also write a page with a chart.")  # fmt: skip
@anyway_option
@no_install_option
@json_option
def command(
    name: str,
    serial: str | None,
    adb_servers: tuple[str, ...],
    engine: str | None,
    precision: str,
    threads: tuple[int, ...] | None,
    repeats: int | None,
    page: Path | None,
    no_install: bool,
    as_json: bool,
) -> int:
    """Show the cost of each operator of the exported model NAME, and its gain from threads.

    On this machine the cost is time, as the engine tells the times of its layers; on a virtual device it is
    the exact instructions of Paddle Lite's kernels. Another processor's kernels have other shares.
    """
    if serial is None and adb_servers:
        raise click.UsageError("--adb-server is for --device")
    if serial is not None and engine not in (None, "paddlelite"):
        raise click.UsageError(f"--engine {engine} is for this machine: a device profiles paddlelite")
    if serial is not None and repeats is not None:
        raise click.UsageError("--repeats is for this machine: a device's counts repeat exactly")
    subject = find_subject(name)
    if serial is None:
        profile = _on_host(
            subject, engine, precision, threads, repeats or DEFAULT_REPEATS, install=not no_install
        )
    else:
        profile = _on_device(
            subject, serial, adb_servers, precision, threads or DEVICE_THREADS, install=not no_install
        )
    for reason in profile.reasons:
        note(reason)
    if page is not None:
        _write_page(profile, page)
    if as_json:
        echo_json(profile)
    else:
        from edgekit.report.profile import profile_table

        echo_table(profile_table(profile))
    return 0


def _on_host(
    subject: Subject,
    engine: str | None,
    precision: str,
    threads: tuple[int, ...] | None,
    repeats: int,
    *,
    install: bool,
) -> Profile:
    from edgekit.core.spec import Precision
    from edgekit.engines.registry import PREDICT_ENGINE
    from edgekit.profile.host import profile_host
    from edgekit.targets.target import HostTarget

    return profile_host(
        HostTarget(install=install),
        subject,
        engine=engine or PREDICT_ENGINE,
        precision=Precision(precision),
        threads=threads,
        repeats=repeats,
    )


def _on_device(
    subject: Subject,
    serial: str,
    adb_servers: tuple[str, ...],
    precision: str,
    threads: tuple[int, ...],
    *,
    install: bool,
) -> Profile:
    from edgekit.core.spec import Precision
    from edgekit.profile.device import profile_device
    from edgekit.targets.device import opened_targets

    with opened_targets([serial], adb_servers, install=install, other_engines=False) as targets:
        return profile_device(targets[0], subject, precision=Precision(precision), threads=threads)


def _write_page(profile: Profile, path: Path) -> None:
    from edgekit._files import write_atomic
    from edgekit.report.profile import profile_page

    write_atomic(path, profile_page(profile).encode())
    note(f"chart: {path}")
