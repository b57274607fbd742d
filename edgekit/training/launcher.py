"""`paddle.distributed.launch`, and workers under it, that end with whoever started them.

The launcher puts its workers into sessions of their own, where no signal to its group reaches them; left
alone they would go on writing into a run that somebody resumes.
"""

from __future__ import annotations

import ctypes
import runpy
import signal

# PR_SET_PDEATHSIG of prctl(2).
_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Be killed when the process that started this one ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    end_with_parent()
    runpy.run_module("paddle.distributed.launch", run_name="__main__", alter_sys=True)
