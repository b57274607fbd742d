"""A worker for tests: does what its job says."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator

import msgspec

from edgekit._worker import Fault, Stage, serve
from edgekit.errors import InputError


class ToyJob(msgspec.Struct, frozen=True):
    act: str


class ToyAnswer(msgspec.Struct, frozen=True, tag=True):
    text: str


def work(job: ToyJob) -> Iterator[Stage | ToyAnswer]:
    print("a framework prints")
    yield ToyAnswer("one")
    yield Stage(doing="thinking")
    sys.stderr.write("a framework complains\n")
    sys.stderr.flush()
    if job.act == "refuse":
        raise InputError("reading x: damaged", hint="edgekit fetch x")
    if job.act == "fail":
        raise ValueError("first line\nlast line")
    if job.act == "full":
        raise OSError(28, "No space left on device", "/x")
    if job.act == "hang":
        time.sleep(60)
    if job.act == "last words":
        yield Stage(doing="aborting", if_it_dies=Fault(kind="InputError", message="it cannot"))
    if job.act in ("die", "last words"):
        os.kill(os.getpid(), signal.SIGSEGV)
    yield ToyAnswer(str(os.getpid()))


if __name__ == "__main__":
    serve(work, ToyJob)
