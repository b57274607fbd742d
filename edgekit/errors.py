"""Every error that edgekit raises on purpose, with its exit code.

`message` says what was being done, to what, and what was observed; `hint` is a command or an action for the
user. `edgekit.cli.root` catches these errors at one place.
"""

from __future__ import annotations

import sys
from pathlib import Path

# paddle2onnx and the onnx that it goes with have no wheels from Python 3.13 on. Paddle's own environment
# (`edgekit.toolchain.opt.environments`) is there where this Python is the environment's: it is made anew.
PADDLE_REMEDY = (
    "edgekit toolchain install paddle --force"
    if Path(sys.prefix, ".edgekit-environment.json").exists()
    else "pip install 'edgekit[paddle]'"
    if sys.version_info < (3, 13)
    else "edgekit toolchain install paddle"
)
"""Command that installs what turns networks into artifacts."""


class EdgekitError(Exception):
    """Base class of all expected failures; raised itself, it reports a bug.

    Args:
        message: Action, object and observation.
        hint: A command to run, or what to change.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(EdgekitError):
    """The command line is wrong: unknown option values, or combinations that exclude each other."""

    exit_code = 2


class InputError(EdgekitError):
    """A model name, card, weight file, manifest, picture, list or configuration is bad."""

    exit_code = 3


class OutputError(InputError):
    """A place to write to is not writable, full, or held by another edgekit."""


class ToolError(EdgekitError):
    """A tool, a dependency or a download is missing or failed."""

    exit_code = 4


class MismatchError(ToolError):
    """opt, which wrote a `.nb`, and the runtime that is to read it are of different versions."""


class ConversionError(EdgekitError):
    """A converter failed or its output was not the requested one."""

    exit_code = 5


class ParityError(EdgekitError):
    """Two artifacts of one model do not compute the same."""

    exit_code = 5


class DeviceError(EdgekitError):
    """A device is missing, ambiguous, unauthorised, full or of a wrong ABI."""

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
    """An engine, artifact or device cannot do a combination: the point is `skipped`, not failed.

    Outside of a sweep it is a usage error.
    """

    exit_code = 2
