"""Applies faults to the running device when they are armed or cleared."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import struct
from pathlib import Path

from edgekit.virtual.adbd.device import Device
from edgekit.virtual.faults.control import Answer, ArmFault, ClearFault, GetStatus, Request
from edgekit.virtual.faults.faults import Fault, FaultName
from edgekit.virtual.machine.machine_files import BatteryState, battery_files, frequency_files
from edgekit.virtual.machine.tree import CLOCK_SHIFT

KILL_POLL_S = 0.02


class Acts:
    """Applies requests of the control socket to a device."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._read_only: str | None = None
        machine = device.config.directory / "machine"
        self._machine = machine if machine.is_dir() else device.config.directory / "root"

    def handle(self, request: Request) -> Answer:
        """Answer one request (all but `stop`, which is the daemon's)."""
        try:
            if isinstance(request, ArmFault):
                self._arm(request.fault)
            elif isinstance(request, ClearFault):
                self._clear(request.name)
            else:
                assert isinstance(request, GetStatus)
        except (OSError, ValueError, IndexError) as error:
            return Answer(error=str(error), faults=tuple(self._device.faults.armed()))
        return Answer(faults=tuple(self._device.faults.armed()))

    def _arm(self, fault: Fault) -> None:
        device, name = self._device, fault.name
        if name is FaultName.REBOOT:
            device.reboot()
        elif name is FaultName.AUTHORIZE:
            device.authorize()
        elif name is FaultName.FREQUENCY:
            self._set_frequency(int(fault.values[0]), int(fault.values[1]))
        elif name is FaultName.TEMPERATURE:
            self._set_temperature(fault.values[0], float(fault.values[1]))
        elif name is FaultName.BATTERY:
            self._set_battery(int(fault.values[0]))
        else:
            self._arm_lasting(fault)

    def _arm_lasting(self, fault: Fault) -> None:
        device, name = self._device, fault.name
        if name is FaultName.DISK_FULL:
            device.sandbox.limit_free(fault.number())
        elif name is FaultName.READ_ONLY:
            self._undo_read_only()
            device.sandbox.set_read_only(fault.values[0], True)
            self._read_only = fault.values[0]
        elif name is FaultName.CLOCK_JUMP:
            self._set_clock(float(fault.values[0]))
        device.faults.arm(fault)
        if name is FaultName.KILL:
            device.in_background(self._kill(fault))
        elif name in (FaultName.OFFLINE, FaultName.UNAUTHORIZED):
            device.cut_connections()
        elif name is FaultName.REFUSE:
            device.in_background(device.settle_port())
            device.cut_connections()

    def _clear(self, name: FaultName | None) -> None:
        device = self._device
        names = [fault.name for fault in device.faults.armed()] if name is None else [name]
        device.faults.clear(name)
        for cleared in names:
            if cleared is FaultName.DISK_FULL:
                device.sandbox.limit_free(None)
            elif cleared is FaultName.READ_ONLY:
                self._undo_read_only()
            elif cleared is FaultName.CLOCK_JUMP:
                self._set_clock(0)
            elif cleared is FaultName.REFUSE:
                device.in_background(device.settle_port())
            elif cleared is FaultName.UNAUTHORIZED:
                device.cut_connections()

    def _undo_read_only(self) -> None:
        if self._read_only is not None:
            self._device.sandbox.set_read_only(self._read_only, False)
            self._read_only = None

    async def _kill(self, fault: Fault) -> None:
        """Send SIGKILL to a matching process, as the kernel's out-of-memory killer does."""
        pattern = fault.values[0].encode()
        while self._device.faults.get(FaultName.KILL) is fault:
            victims = [pid for pid in self._device.sandbox.processes() if _matches(pid, pattern)]
            if victims:
                if len(fault.values) > 1:
                    await asyncio.sleep(int(fault.values[1]) / 1000)
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(max(victims), signal.SIGKILL)
                self._device.faults.clear(FaultName.KILL)
                return
            await asyncio.sleep(KILL_POLL_S)

    def _write(self, files: dict[str, str]) -> None:
        for path, text in files.items():
            # In place: the device's /sys is a view of this directory, and readers hold no locks.
            (self._machine / path).write_text(text)

    def _set_frequency(self, core: int, khz: int) -> None:
        if not 0 <= core < self._device.soc.core_count:
            raise ValueError(f"there is no core {core}; cores are 0 to {self._device.soc.core_count - 1}")
        self._write(frequency_files(self._device.soc, core, khz))

    def _set_temperature(self, zone: str, celsius: float) -> None:
        types = [known.type for known in self._device.soc.thermal_zones]
        number = int(zone) if zone.isdigit() else types.index(zone) if zone in types else -1
        if not 0 <= number < len(types):
            raise ValueError(f"there is no thermal zone {zone}; zones are {', '.join(types)}")
        self._write({f"sys/class/thermal/thermal_zone{number}/temp": f"{round(celsius * 1000)}\n"})

    def _set_battery(self, percent: int) -> None:
        if not self._device.soc.battery:
            raise ValueError("this device has no battery")
        self._write(battery_files(BatteryState(level_percent=percent)))

    def _set_clock(self, shift_s: float) -> None:
        """Shift the device's clock: the emulator's library reads the shift at every call
        (`machine_shim.c`).
        """
        if not self._device.config.shimmed:
            raise OSError("this device cannot shift its clock: its emulator runs without the machine shim")
        with (self._device.config.directory / CLOCK_SHIFT).open("r+b") as file:
            file.write(struct.pack("<q", round(shift_s * 1e9)))


def _matches(pid: int, pattern: bytes) -> bool:
    """Whether a process's command line has the pattern; a shell that was given the command does not count."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    if b"-c" in words and words[words.index(b"-c") - 1].endswith(b"sh"):
        return False
    return pattern in b" ".join(words)
