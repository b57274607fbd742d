"""Free ports for servers of tests."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A TCP port that nothing listens on, outside those that adb takes for emulators."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if not 5555 <= port <= 5585:
            return port
