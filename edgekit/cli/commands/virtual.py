"""`edgekit virtual`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.options import json_option
from edgekit.cli.output import echo_json, echo_table, note

if TYPE_CHECKING:
    from edgekit.virtual.faults.faults import Fault
    from edgekit.virtual.state import Instance

SIZE_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
MIN_STORAGE_BYTES = 1 << 20


class Size(click.ParamType[int]):
    """Click type of a size: `256M` means bytes with an optional K, M or G (powers of 1024)."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = str(value).upper()
        digits = text.rstrip("KMG")
        if not digits.isdigit() or text[len(digits) :] not in SIZE_UNITS:
            self.fail(f"{value!r} is not a size like 256M", param, ctx)
        size = int(digits) * SIZE_UNITS[text[len(digits) :]]
        if size < MIN_STORAGE_BYTES:
            self.fail(f"{value!r}: at least 1M", param, ctx)
        return size


class _FaultCommand(click.Command):
    """Command that makes its list of faults when help is shown, not when the module is imported."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from edgekit.virtual.faults.faults import FAULTS

        with formatter.section("Faults"):
            formatter.write_dl(
                [(f"{name.value} {kind.values}".strip(), kind.does) for name, kind in FAULTS.items()]
            )


@click.group()
def command() -> None:
    """Start and stop virtual ARM64 devices: real adb, real ARM64 programs, no phone."""


@command.command("start")
@click.option("--soc", default="sd855", show_default=True, help="Chip to simulate; see `virtual socs`.")
@click.option(
    "--serial", metavar="NAME", help="Name of the device; a running device of that name is used again."
)
@click.option("--storage", type=Size(), metavar="SIZE", help="Size of the storage, e.g. 256M. Default: 2G.")
@click.option(
    "--auth", type=click.Choice(["none", "prompt", "deny"]), default="none", show_default=True,
    help="Answer to adb's key: accept, wait for `fault SERIAL authorize`, or refuse.",
)  # fmt: skip
@click.option(
    "--backend", type=click.Choice(["auto", "userns", "proot"]), default="auto", show_default=True,
    help="How ARM64 programs run: private namespaces, or proot where these are forbidden.",
)  # fmt: skip
@json_option
def start_device(
    soc: str, serial: str | None, storage: int | None, auth: str, backend: str, as_json: bool
) -> None:
    """Start a device and print what `--device` takes."""
    from edgekit.virtual.config import AuthMode, Backend
    from edgekit.virtual.lifecycle import start

    instance = start(
        soc=soc,
        serial=serial,
        storage_bytes=storage,
        auth=AuthMode(auth),
        backend=None if backend == "auto" else Backend(backend),
        report=note,
    )
    if as_json:
        echo_json(_describe(instance))
    else:
        click.echo(instance.config.address)


@command.command("stop")
@click.argument("serial", required=False)
@click.option(
    "--all", "everything", is_flag=True, help="Stop every device, and delete the remains of crashed ones."
)
def stop_device(serial: str | None, everything: bool) -> None:
    """Stop a device, by name or address, or the only one that runs; its storage goes with it."""
    from edgekit.virtual.lifecycle import stop, stop_all, stop_only

    if everything and serial is not None:
        raise click.UsageError("name a device, or --all")
    stopped = stop_all() if everything else [stop_only() if serial is None else stop(serial)]
    for instance in stopped:
        note(f"stopped {instance.config.address} ({instance.config.serial})")


@command.command("list")
@json_option
def list_devices(as_json: bool) -> None:
    """List the virtual devices of this machine."""
    from edgekit.report.grid import Table
    from edgekit.virtual.state import list_instances

    instances = list_instances()
    if as_json:
        echo_json([_describe(instance) for instance in instances])
        return
    if not instances:
        note("no virtual device; edgekit virtual start makes one")
        return
    rows = []
    for instance in instances:
        config = instance.config
        state = "running" if instance.ready else "starting" if instance.running else "crashed"
        rows.append((config.address, config.serial, config.soc, config.backend.value, state))
    echo_table(Table(rows=tuple(rows)))


@command.command("socs")
@json_option
def list_chips(as_json: bool) -> None:
    """List the chips that a device can simulate."""
    from edgekit.report.grid import facts
    from edgekit.virtual.machine.soc import list_socs, load_soc

    chips = [load_soc(name) for name in list_socs()]
    if as_json:
        echo_json(chips)
        return
    echo_table(facts((chip.name, chip.description) for chip in chips))


@command.command("fault", cls=_FaultCommand)
@click.argument("serial")
@click.argument("name", required=False)
@click.argument("values", nargs=-1)
@click.option("--once", is_flag=True, help="Let the fault strike once; by default it stays until cleared.")
@click.option("--clear", is_flag=True, help="Clear the fault NAME, or all faults.")
@click.option("--list", "list_armed", is_flag=True, help="List the armed faults.")
@json_option
def set_device_fault(
    serial: str,
    name: str | None,
    values: tuple[str, ...],
    once: bool,
    clear: bool,
    list_armed: bool,
    as_json: bool,
) -> None:
    """Simulate a fault of a device, or change its state. Negative values come after `--`."""
    from edgekit.virtual.faults.faults import fault_name, parse_fault
    from edgekit.virtual.lifecycle import clear_faults, list_faults, set_fault

    if clear + list_armed + (bool(name) and not clear) != 1 or (values and (clear or list_armed)):
        raise click.UsageError("name a fault, or --clear [NAME], or --list")
    if list_armed:
        armed = list_faults(serial)
    elif clear:
        armed = clear_faults(serial, fault_name(name) if name else None)
    else:
        assert name is not None
        armed = set_fault(serial, parse_fault(name, values, once=once))
    if as_json:
        echo_json(armed)
    else:
        for fault in armed:
            click.echo(_fault_line(fault))


def _fault_line(fault: Fault) -> str:
    return " ".join([fault.name.value, *fault.values, *(["once"] if fault.once else [])])


def _describe(instance: Instance) -> dict[str, Any]:
    """Return the JSON record that `start` and `list` print."""
    config = instance.config
    return {
        "address": config.address,
        "serial": config.serial,
        "soc": config.soc,
        "backend": config.backend.value,
        "auth": config.auth.value,
        "storage_bytes": config.storage_bytes,
        "counting": config.counting,
        "running": instance.running,
        "ready": instance.ready,
        "pid": instance.pid,
        "log": str(instance.log),
    }
