"""The script that reads a device's circumstances, in the shells that devices have."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edgekit.device.parse import parse_battery, split_sections
from edgekit.device.probe import READING, describe_environment
from edgekit.transports.far_shell import script_line

# Shells of Debian, of boards and, mksh, of Android; the virtual device's is busybox's.
SHELLS = ("dash", "bash", "mksh", "busybox")
# Invented: Android's program in the format of Android 13.
DUMPSYS = """#!/bin/sh
echo "$1" >> "$LOG"
case $1 in
battery) echo "Current Battery Service state:"; echo "  level: 64"; echo "  AC powered: true" ;;
power) echo "POWER MANAGER (dumpsys power)"; echo "  mWakefulness=Awake" ;;
esac
"""


def programs(directory: Path, *, android: bool) -> Path:
    """A directory for PATH with the only programs that the script may start; each notes its name in $LOG."""
    cat = directory / "cat"
    cat.write_text(f'#!/bin/sh\necho cat >> "$LOG"\nexec {shutil.which("cat")} "$@"\n')
    cat.chmod(0o755)
    if android:
        (directory / "dumpsys").write_text(DUMPSYS)
        (directory / "dumpsys").chmod(0o755)
    return directory


@pytest.mark.parametrize("android", [False, True])
@pytest.mark.parametrize("shell", SHELLS)
def test_a_reading_starts_as_few_programs_as_it_can(shell: str, android: bool, tmp_path: Path) -> None:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"no {shell} here")
    log = tmp_path / "log"
    log.touch()
    found = programs(tmp_path, android=android)
    done = subprocess.run(
        [path, *(["sh"] if shell == "busybox" else []), "-c", script_line(READING, [])],
        env={"PATH": str(found), "LOG": str(log)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    sections = split_sections(done.stdout)
    read = describe_environment(sections)
    assert read.screen_on is (True if android else None)
    assert {"load", "steal time", "processes"}.isdisjoint(read.unreadable)
    assert read.memory_available_bytes
    assert read.cores
    # Where the kernel tells all about a battery Android is not asked; busybox may have a `cat` of its own.
    asked = ["battery"] * (sections["power"].count("=") < 5) + ["power"] if android else []
    assert log.read_text().split() in ([*asked, "cat"], asked)
    assert ("battery" in asked) is (read.battery_percent == 64)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_charger_that_cannot_be_read_hides_no_battery(shell: str, tmp_path: Path) -> None:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"no {shell} here")
    supplies, log = tmp_path / "power_supply", tmp_path / "log"
    files = {"capacity": "63", "status": "Full", "current_now": "-250000", "voltage_now": "1", "temp": "300"}
    for name, content in {"ac/type": "Mains", "bat/type": "Battery"}.items():
        (supplies / name).parent.mkdir(parents=True)
        (supplies / name).write_text(f"{content}\n")
    for name, content in files.items():
        (supplies / "bat" / name).write_text(f"{content}\n")
    done = subprocess.run(
        [
            path, *(["sh"] if shell == "busybox" else []), "-c",
            script_line(READING.replace("/sys/class/power_supply", str(supplies)), []),
        ],
        env={"PATH": str(programs(tmp_path, android=True)), "LOG": str(log)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    sections = split_sections(done.stdout)
    battery = parse_battery(sections["battery"], sections["power"])
    assert battery is not None
    # Android says whether the charger is connected, and nothing of the current.
    assert (battery.level_percent, battery.current_ua, battery.charging) == (64, -250_000, True)
