"""The script that reads a device's circumstances, in the shells that devices have."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edgekit.device.parse import split_sections
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
