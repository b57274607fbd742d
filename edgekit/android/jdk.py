"""The Java tools of this machine, and the packages to install where they are missing."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from edgekit import _process
from edgekit.errors import ToolError

PACKAGES = {
    "java": "default-jdk-headless",
    "javac": "default-jdk-headless",
    "keytool": "default-jdk-headless",
    "mvn": "maven",
    "npm": "npm",
}
OLDEST_JDK = 11  # D8 needs it
VERSION_TIMEOUT_S = 60.0


def find_tool(name: str, doing: str) -> Path:
    """A Java tool: from `$JAVA_HOME` where that is set and has it, else from the path.

    Args:
        name: `java`, `javac`, `keytool`, `mvn` or `npm`.
        doing: The operation that needs it, for the message.

    Raises:
        ToolError: There is none; the hint names the Debian package.
    """
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / name).is_file():
        return Path(home) / "bin" / name
    found = shutil.which(name)
    if found is None:
        raise ToolError(f"{doing}: no {name} on this machine", hint=f"sudo apt-get install {PACKAGES[name]}")
    return Path(found)


def find_jdk(doing: str) -> Path:
    """The home of a JDK that is new enough for D8 and has a compiler.

    Raises:
        ToolError: There is no compiler, or it is older than JDK 11.
    """
    compiler = find_tool("javac", doing)
    done = _process.run([compiler, "-version"], timeout_s=VERSION_TIMEOUT_S)
    match = re.search(r"javac (?:1\.)?(\d+)", done.stdout + done.stderr)
    if not done.ok or match is None or int(match[1]) < OLDEST_JDK:
        raise ToolError(
            f"{doing}: {compiler} is {done.tail(1) or 'no Java compiler'}; "
            f"JDK {OLDEST_JDK} or later is needed",
            hint="sudo apt-get install default-jdk-headless, or point JAVA_HOME to a newer JDK",
        )
    return compiler.resolve().parent.parent
