"""Every error that edgekit raises on purpose, with its exit code.

`message` says what was being done, to what, and what was observed; `hint` is what the user can run
or do next. They are caught once, in `edgekit.cli.root`.
"""

from __future__ import annotations


class EdgekitError(Exception):
    """Base of all expected failures; on its own it stands for a bug.

    Args:
        message: Action, object and what was observed.
        hint: A command to run, or what to change.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(EdgekitError):
    """The command line itself is wrong: unknown option values, combinations that exclude each other."""

    exit_code = 2


class InputError(EdgekitError):
    """A bad model name, card, weight file, manifest, picture, list or configuration."""

    exit_code = 3


class OutputError(InputError):
    """The place to write to: unwritable, full, or held by another edgekit."""


class ToolError(EdgekitError):
    """A tool, a dependency or a download is missing or failed."""

    exit_code = 4


class ConversionError(EdgekitError):
    """A converter failed or wrote something else than it was asked for."""

    exit_code = 5


class ParityError(EdgekitError):
    """Two artifacts of one model do not compute the same."""

    exit_code = 5


class DeviceError(EdgekitError):
    """No device, several, unauthorised, wrong ABI, full."""

    exit_code = 6


class DeviceLostError(EdgekitError):
    """The device went away or stopped answering in the middle of an operation."""

    exit_code = 7


class RunnerError(EdgekitError):
    """A runner refused its job, crashed, hung or answered nonsense."""

    exit_code = 8


class GateError(EdgekitError):
    """A gate or threshold that the user set was missed."""

    exit_code = 9


INTERRUPTED_EXIT_CODE = 130


class UnsupportedError(EdgekitError):
    """A combination that an engine, artifact or device cannot do: a point `skipped`, not a failure.

    Where it is not part of a sweep it is a usage error.
    """

    exit_code = 2
