"""One process of a run that `paddle.distributed.launch` starts: arguments SETTINGS [--resume]."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from edgekit._worker import Fault, end_with_parent
from edgekit.errors import EdgekitError
from edgekit.training.launch import ERROR_PREFIX, WORKER_PREFIX
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
        sys.stdout.write(f"{ERROR_PREFIX}{msgspec.json.encode(Fault.of(error)).decode()}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
