"""One process of a run: `python -m paddle.distributed.launch … worker.py SETTINGS [--resume]`."""

from __future__ import annotations

import sys
from pathlib import Path

from edgekit.errors import EdgekitError
from edgekit.training.launch import WORKER_PREFIX
from edgekit.training.loop import train
from edgekit.training.settings import read_settings


def _say(line: str) -> None:
    sys.stdout.write(f"{WORKER_PREFIX}{line}\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Take part in the run that the settings file describes; the exit code of what went wrong."""
    try:
        train(read_settings(Path(arguments[0])), resume="--resume" in arguments[1:], say=_say)
    except EdgekitError as error:
        _say(f"error: {error.message}")
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
