"""The device's file tree, made in a directory of the host."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from edgekit.virtual.machine.machine_files import proc_files, properties, sys_files
from edgekit.virtual.machine.soc import Soc

# Programs of busybox that would mislead on a device, or that `system_bin` has itself.
UNWANTED_APPLETS = frozenset({"busybox", "init", "linuxrc", "halt", "poweroff", "su", "login", "dpkg", "rpm"})
DIRECTORIES = (
    "data", "dev", "mnt", "proc", "sys",
    "system/bin", "system/etc", "system/lib64", "vendor/bin", "vendor/lib64",
)  # fmt: skip
CLOCK_SHIFT = "clock_shift"
SHIM_NAME = "libek.so"


def build_tree(
    directory: Path,
    soc: Soc,
    serial: str,
    *,
    busybox: Path,
    applets: Sequence[str],
    counter: Path | None,
    shim: Path | None,
    host_libraries: Mapping[str, str],
    loader: Path | None,
    machine_apart: bool,
) -> None:
    """Make `directory/root`, and `directory/machine` with the chip's /proc and /sys.

    Args:
        directory: Where the device lives; it must not exist in part.
        soc: The SoC whose identity the device has.
        serial: `ro.serialno`.
        busybox: A static ARM64 busybox.
        applets: Names of that busybox's applets.
        counter: The emulator's counting plug-in.
        shim: The library that answers the emulator for the host.
        host_libraries: Host to device path of the directories with the emulator's libraries.
        loader: The emulator's loader, in one of these directories; None for a static emulator.
        machine_apart: /proc and /sys are mounted from `machine`; else they lie in `root`.
    """
    root = directory / "root"
    for path in DIRECTORIES:
        (root / path).mkdir(parents=True)
    for link, target in (("bin", "system/bin"), ("etc", "system/etc"), ("sdcard", "data/media/0")):
        (root / link).symlink_to(target)
    _install_programs(root / "system/bin", busybox, applets)
    if counter is not None:
        shutil.copy(counter, root / "system/lib64/libicount.so")
    _install_emulator_links(root, host_libraries, loader, shim)
    listed = properties(soc, serial, counting=counter is not None)
    (root / "system/build.prop").write_text("".join(f"{name}={value}\n" for name, value in listed.items()))
    machine = directory / "machine" if machine_apart else root
    for name, text in {**proc_files(soc), **sys_files(soc)}.items():
        file = machine / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (directory / CLOCK_SHIFT).write_bytes(bytes(8))


def _install_emulator_links(
    root: Path, host_libraries: Mapping[str, str], loader: Path | None, shim: Path | None
) -> None:
    """The kernel starts the emulator inside the device: there its loader and libraries must be found."""
    for source, target in host_libraries.items():
        (root / target.lstrip("/")).mkdir(parents=True)
        if loader is not None and loader.parent == Path(source):
            # The name that the program asks for (System V ABI, AMD64 supplement; AAPCS64).
            place = root / ("lib64" if "x86-64" in loader.name else "lib") / loader.name
            place.parent.mkdir(exist_ok=True)
            place.symlink_to(f"{target}/{loader.name}")
    if shim is not None:
        (root / "lib").mkdir(exist_ok=True)
        shutil.copy(shim, root / "lib" / SHIM_NAME)


def _install_programs(place: Path, busybox: Path, applets: Sequence[str]) -> None:
    shutil.copy(busybox, place / "busybox")
    (place / "busybox").chmod(0o755)
    own = [
        entry
        for entry in (resources.files("edgekit.virtual.machine") / "system_bin").iterdir()
        if entry.is_file()
    ]
    for entry in own:
        (place / entry.name).write_text(entry.read_text())
        (place / entry.name).chmod(0o755)
    for applet in set(applets) - UNWANTED_APPLETS - {entry.name for entry in own}:
        (place / applet).symlink_to("busybox")
