"""The adb program, with which Android devices and virtual ones are reached."""

from __future__ import annotations

import os

from edgekit.errors import ToolError


def find_adb() -> str:
    """The adb program: `$ADBUTILS_ADB_PATH`, the one on PATH, or the one in adbutils' wheel.

    Raises:
        ToolError: There is none.
    """
    from adbutils._utils import adb_path
    from adbutils.errors import AdbError

    try:
        program = adb_path()
    except AdbError as error:
        raise ToolError(f"looking for adb: {error}", hint="install Android's platform tools") from error
    if not os.access(program, os.X_OK):
        raise ToolError(
            f"looking for adb: {program} is no program",
            hint="unset ADBUTILS_ADB_PATH, or let it name an adb program",
        )
    return str(program)
