"""Refusals of runners as errors, with the command that helps."""

from __future__ import annotations

from collections.abc import Callable

from edgekit.errors import RunnerError, UnsupportedError
from edgekit.runners.protocol import ErrorCode, Refusal

# Stands for the command that makes the model's artifacts anew.
REMAKE = "{remake}"
HINTS = {
    ErrorCode.MODEL_MISSING: "edgekit models list shows what is exported",
    ErrorCode.MODEL_INVALID: f"{REMAKE}  makes the artifacts again",
    ErrorCode.PROTOCOL: "edgekit toolchain build runner",
    ErrorCode.MEMORY: "a smaller --batch-size needs less memory",
    ErrorCode.THREADS: "ask for fewer --threads",
    ErrorCode.CORES: "edgekit devices shows the cores; ask for fewer --threads or other --cores",
    ErrorCode.SHAPE: f"{REMAKE} --input-shape …  makes an artifact for it",
    ErrorCode.HASH_MISMATCH: f"{REMAKE}  makes the artifacts again; edgekit push sends them",
    ErrorCode.REQUEST: "edgekit toolchain build runner",
    ErrorCode.UNSUPPORTED: "edgekit models list shows what else is exported",
    ErrorCode.RUNTIME: "edgekit verify shows which artifact breaks",
    ErrorCode.IO: "free space there, then run it again",
}

# The native runner's answer where its engine calls abort().
REASON_ON_STDERR = "; its reason is on stderr"


class RefusedError(RunnerError):
    """A runner answered that it cannot serve a request; the runner still works.

    Attributes:
        code: Reason by the protocol.
    """

    def __init__(self, message: str, *, code: ErrorCode, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code


def refused(
    refusal: Refusal, label: str, *, remake: Callable[[], str], last_words: Callable[[], str]
) -> UnsupportedError | RefusedError:
    """Return the error for a refusal.

    Args:
        refusal: Answer of the runner.
        label: Name of the runner.
        remake: Returns the command that makes the model's artifacts anew.
        last_words: Returns the end of what the runner wrote to stderr, one line.
    """
    message, hint = f"{label}: {refusal.message}", HINTS.get(refusal.code, "")
    if REMAKE in hint:
        hint = hint.replace(REMAKE, remake())
    if refusal.message.endswith(REASON_ON_STDERR) and (said := last_words()):
        message = f"{message.removesuffix(REASON_ON_STDERR)}: {said}"
    if refusal.code is ErrorCode.UNSUPPORTED:
        return UnsupportedError(message, hint=hint)
    return RefusedError(message, code=refusal.code, hint=hint)
