"""Starting, stopping, listing and disturbing virtual devices."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from edgekit import _process
from edgekit._files import locked, output_error, write_atomic
from edgekit.errors import DeviceError, ToolError, UsageError
from edgekit.toolchain.adb import find_adb
from edgekit.toolchain.cache import cache_directory
from edgekit.toolchain.component import Report
from edgekit.transports.adb_server import parse_server
from edgekit.virtual.config import AuthMode, Backend, DeviceConfig, encode_config
from edgekit.virtual.faults.control import ArmFault, ClearFault, GetStatus, ask
from edgekit.virtual.faults.faults import Fault, FaultName
from edgekit.virtual.machine import namespace
from edgekit.virtual.machine.soc import DEFAULT_SOC, Soc, load_soc
from edgekit.virtual.machine.tools import Tools, prepare_tools
from edgekit.virtual.machine.tree import build_tree
from edgekit.virtual.state import (
    SERIAL_PATTERN,
    Instance,
    end_instance,
    find_instance,
    instance_directory,
    list_instances,
    read_instance,
)

logger = logging.getLogger("edgekit")

# Apart from 5555-5585, where adb looks for emulators, and from the ports that systems give out themselves.
PORTS = range(16400, 17400)
START_TIMEOUT_S = 20.0
CONNECT_TIMEOUT_S = 10.0
PORT_ATTEMPTS = 5
DEFAULT_STORAGE_BYTES = 2 << 30


def start(
    *,
    soc: str = DEFAULT_SOC,
    serial: str | None = None,
    storage_bytes: int | None = None,
    auth: AuthMode = AuthMode.NONE,
    backend: Backend | None = None,
    boot_ms: int = 1500,
    connect: bool = True,
    report: Report = logger.info,
) -> Instance:
    """Start a device, wait until it answers and connect it to the adb server.

    A device of that serial that is already running is used again; without a serial a new one is made.

    Args:
        soc: A chip of `list_socs()`.
        serial: The device's own name; made up where it is None.
        storage_bytes: Size of its storage, which is memory of this machine as far as it is filled; 2 GiB
            where it is None.
        auth: How the device treats adb's keys.
        backend: How ARM64 programs run; None takes namespaces where this machine allows them.
        boot_ms: How long its reboots take.
        connect: Make it known to the adb server.
        report: Called with a line for the user about each step.

    Raises:
        UsageError: The options contradict each other or the device that is running.
        InputError: There is no such SoC.
        ToolError: A part of the device cannot be had, or this machine does not allow it.
        DeviceError: It does not come up.
    """
    chip = load_soc(soc)
    if serial is not None and not SERIAL_PATTERN.fullmatch(serial):
        raise UsageError(f"serial {serial!r}: letters, digits, '_', '.', '-', at most 41")
    with locked(cache_directory("virtual") / "start.lock", "the start of another virtual device"):
        name = serial or _free_serial(chip)
        present = read_instance(instance_directory(name))
        if present is not None and present.ready:
            instance = _reuse(present, soc, auth, report)
        else:
            _remove_remains(name, present)
            chosen = choose_backend(backend, report)
            if chosen is Backend.PROOT and storage_bytes is not None:
                raise UsageError("--storage needs the userns backend, which this machine or option excludes")
            tools = prepare_tools(chosen, report)
            instance = _start_new(
                chip, name, tools, chosen, auth=auth, boot_ms=boot_ms,
                storage_bytes=storage_bytes or DEFAULT_STORAGE_BYTES,
            )  # fmt: skip
    if connect:
        connect_to_server(instance)
    return instance


def _free_serial(soc: Soc) -> str:
    taken = {instance.config.serial for instance in list_instances()}
    return next(name for number in range(1, 10_000) if (name := f"{soc.name}-{number}") not in taken)


def _reuse(present: Instance, soc: str, auth: AuthMode, report: Report) -> Instance:
    if (present.config.soc, present.config.auth) != (soc, auth):
        raise UsageError(
            f"virtual device {present.config.serial} is running as {present.config.soc}, "
            f"auth {present.config.auth.value}",
            hint=f"edgekit virtual stop {present.config.serial}",
        )
    report(f"virtual device {present.config.serial} is running already")
    return present


def _remove_remains(name: str, present: Instance | None) -> None:
    """Delete the files that a crash or a failed start left."""
    directory = instance_directory(name)
    if present is not None:
        end_instance(present.pid, directory)
    if directory.exists():
        shutil.rmtree(directory)


def choose_backend(requested: Backend | None, report: Report) -> Backend:
    """Return the backend: the one asked for, else namespaces where they work and proot where not.

    Raises:
        ToolError: Namespaces were asked for and do not work here.
    """
    if requested is Backend.PROOT:
        return Backend.PROOT
    reason = namespace.probe()
    if reason is None:
        return Backend.USERNS
    if requested is Backend.USERNS:
        raise ToolError(
            f"starting a virtual device with namespaces: {reason}",
            hint="edgekit virtual start --backend proot",
        )
    report(f"no private namespaces here ({reason}); using proot: slower, no storage limit, no counting")
    return Backend.PROOT


def _start_new(
    soc: Soc, serial: str, tools: Tools, backend: Backend, *, auth: AuthMode, boot_ms: int, storage_bytes: int
) -> Instance:
    userns = backend is Backend.USERNS
    directory = instance_directory(serial)
    try:
        build_tree(
            directory, soc, serial,
            busybox=tools.busybox, applets=tools.applets, counter=tools.counter, shim=tools.shim,
            host_libraries=tools.host_libraries,
            loader=Path(tools.loader[0]) if len(tools.loader) > 1 else None,
            machine_apart=userns,
        )  # fmt: skip
    except OSError as error:
        raise output_error(directory, error) from error
    for port in _free_ports():
        config = DeviceConfig(
            serial=serial, soc=soc.name, directory=directory, port=port, backend=backend, auth=auth,
            storage_bytes=storage_bytes if userns else None, qemu=tools.qemu,
            host_libraries=tools.host_libraries, proot=tools.proot,
            counting=tools.counter is not None, shimmed=tools.shim is not None, boot_ms=boot_ms,
        )  # fmt: skip
        write_atomic(directory / "config.json", encode_config(config))
        instance = _launch(directory)
        if instance is not None:
            return instance
    raise DeviceError(f"starting a virtual device: no free port among {PORTS[0]} to {PORTS[-1]}")


def _free_ports() -> Iterator[int]:
    """Yield ports that nobody listens on; several, as another start may take one first."""
    found = 0
    offset = os.getpid() * 7 % len(PORTS)
    for step in range(len(PORTS)):
        port = PORTS[(offset + step) % len(PORTS)]
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port
        found += 1
        if found == PORT_ATTEMPTS:
            return


def _launch(directory: Path) -> Instance | None:
    """Start the process and wait until it answers; None where its port was taken meanwhile."""
    log = directory / "log"
    pid = _process.start_daemon(_process.own_python("edgekit.virtual.adbd.daemon", directory), log_path=log)
    deadline = time.monotonic() + START_TIMEOUT_S
    try:
        while time.monotonic() < deadline:
            instance = read_instance(directory)
            if instance is not None and instance.ready:
                return instance
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                if "address already in use" in log.read_text(errors="replace").lower():
                    return None
                raise DeviceError(
                    f"starting a virtual device: its process ended:\n{_last_lines(log)}",
                    hint="edgekit virtual start --backend proot",
                )
            time.sleep(0.01)
        raise DeviceError(
            f"starting a virtual device: no answer after {START_TIMEOUT_S:g} s:\n{_last_lines(log)}"
        )
    except BaseException:
        end_instance(pid, directory, is_child=True)
        raise


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").strip().splitlines()[-5:])


def stop(serial: str) -> Instance:
    """Stop a device and delete its files. Raises DeviceError where there is none."""
    instance = find_instance(serial)
    _stop(instance)
    return instance


def stop_only() -> Instance:
    """Stop the only device that runs. Raises UsageError where none or several run."""
    running = [instance.config.serial for instance in list_instances() if instance.running]
    if len(running) != 1:
        raise UsageError(
            f"stopping a virtual device: {', '.join(running) or 'none'} running",
            hint=f"edgekit virtual stop {running[0]}, or --all" if running else "edgekit virtual list",
        )
    return stop(running[0])


def stop_all() -> list[Instance]:
    """Stop every device, and delete the files of crashed ones."""
    stopped = list_instances()
    for instance in stopped:
        _stop(instance)
    return stopped


def _stop(instance: Instance) -> None:
    _forget_at_server(instance)
    end_instance(instance.pid, instance.directory)


def set_fault(serial: str, fault: Fault) -> tuple[Fault, ...]:
    """Arm a fault, or do an act; return the faults that are then armed.

    Raises DeviceError, DeviceLostError.
    """
    return ask(_running(serial).directory, ArmFault(fault=fault)).faults


def clear_faults(serial: str, name: FaultName | None = None) -> tuple[Fault, ...]:
    """Disarm one fault or all; return the faults that are still armed."""
    return ask(_running(serial).directory, ClearFault(name=name)).faults


def list_faults(serial: str) -> tuple[Fault, ...]:
    """Return the armed faults."""
    return ask(_running(serial).directory, GetStatus()).faults


def _running(serial: str) -> Instance:
    instance = find_instance(serial)
    if not instance.running:
        raise DeviceError(
            f"virtual device {serial} is not running",
            hint=f"edgekit virtual start --serial {instance.config.serial}",
        )
    return instance


def connect_to_server(instance: Instance) -> None:
    """Make the device known to the adb server (the one of $ANDROID_ADB_SERVER_PORT, started at need).

    A device that asks for a key is known all the same: as unauthorized.

    Raises:
        DeviceError: The server does not reach it.
    """
    address = instance.config.address
    deadline = time.monotonic() + CONNECT_TIMEOUT_S
    while True:
        done = _process.run([find_adb(), "connect", address], timeout_s=30.0)
        state = _process.run([find_adb(), "-s", address, "get-state"], timeout_s=10.0)
        if state.stdout.strip() == "device" or (
            instance.config.auth is not AuthMode.NONE and "unauthorized" in state.stderr
        ):
            return
        if time.monotonic() > deadline:
            raise DeviceError(
                f"connecting adb to {address}: {done.stdout.strip()}; {state.tail(1)}",
                hint=f"adb disconnect {address}; adb connect {address}",
            )
        # The server may hold on to an earlier device of this address, or to a connection that was cut.
        _process.run([find_adb(), "disconnect", address], timeout_s=10.0)
        time.sleep(0.1)


def _forget_at_server(instance: Instance) -> None:
    """Tell a running adb server that the device is gone; do not start one for that."""
    server = parse_server(None)
    with socket.socket() as probe:
        probe.settimeout(0.5)
        if probe.connect_ex((server.host, server.port)) != 0:
            return
    _process.run([find_adb(), "disconnect", instance.config.address], timeout_s=10.0)
