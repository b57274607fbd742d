"""One process of a run: `python -m paddle.distributed.launch … worker.py SETTINGS [--resume]`."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from edgekit.errors import EdgekitError
from edgekit.training.launch import ERROR_PREFIX, WORKER_PREFIX, WorkerError
from edgekit.training.launcher import end_with_parent
from edgekit.training.loop import train
from edgekit.training.settings import read_settings


def _say(line: str) -> None:
    sys.stdout.write(f"{WORKER_PREFIX}{line}\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Take part in the run of a settings file; return the exit code, 0 where nothing went wrong."""
    end_with_parent()
    try:
        train(read_settings(Path(arguments[0])), resume="--resume" in arguments[1:], say=_say)
    except EdgekitError as error:
        told = WorkerError(kind=type(error).__name__, message=error.message, hint=error.hint)
        sys.stdout.write(f"{ERROR_PREFIX}{msgspec.json.encode(told).decode()}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
