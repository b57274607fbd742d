"""Start the runners of this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from edgekit import _process
from edgekit.errors import DeviceError, ToolError


class LocalTransport:
    """Implements `edgekit.transports.interface.Transport` for this machine."""

    def __init__(self) -> None:
        self._ahead: tuple[Sequence[str], Mapping[str, str], _process.LineChild] | None = None

    def start_ahead(self, argv: Sequence[str], env: Mapping[str, str], line: str) -> None:
        """Start a command and send it a line; the first `open` of the same command takes it over.

        Raises:
            DeviceError: It cannot be started.
        """
        self.close()
        child = self.open(argv, env=env)
        with contextlib.suppress(BrokenPipeError):  # its reader finds it dead
            child.write_line(line)
        self._ahead = (argv, env, child)

    def open(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> _process.LineChild:
        """Start a command and keep its stdin and stdout. Raises DeviceError where it cannot be started."""
        if self._ahead is not None and self._ahead[:2] == (argv, env):
            child, self._ahead = self._ahead[2], None
            return child
        try:
            return _process.LineChild(argv, env=env)
        except ToolError as error:
            raise DeviceError(error.message, hint=error.hint) from error

    def close(self) -> None:
        """End a command that was started ahead and that nobody took over."""
        if self._ahead is not None:
            self._ahead[2].kill()
            self._ahead = None
