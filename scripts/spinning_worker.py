"""The host's worker with an engine that spins beside its work, and the target that starts it.

Started as a runner it is edgekit's own worker, engine and loop, but that every inference is followed by busy
waiting: by a share of its own time that `KIND` says. The experiments measure with it what they must find.
"""

from __future__ import annotations

import importlib
import importlib.util
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgekit.engines.registry import WORKER
from edgekit.runners.session import RunnerSession
from edgekit.targets.target import HostTarget
from edgekit.transports.local import LocalTransport

ENGINE = "onnxruntime"
# Of an inference's own time: what a second of inferences adds, and what the slower third take longer.
DRIFT_PER_S = 0.25
SECOND_MODE = 0.4
SLOW_SHARE = 0.3
# Artifact directories whose names end so are slower by the given per mille: NAME.slower30 by 3 %.
SLOWER = ".slower"


class SpinningTarget(HostTarget):
    """This machine, with this file as the worker."""

    def __init__(self, kind: str = "slower") -> None:
        super().__init__()
        self._kind = kind

    def session(
        self, engine: str, label: str, *, counted: bool = False, remake: Callable[[], str] | None = None
    ) -> RunnerSession:
        argv = (sys.executable, str(Path(__file__).resolve()), self._kind)
        return RunnerSession(LocalTransport(), argv, label=f"{self._kind} {label}")


def main() -> int:
    kind = sys.argv[1]
    spec = importlib.util.spec_from_file_location("worker_entry", WORKER / "__main__.py")
    assert spec is not None and spec.loader is not None
    entry = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(entry)
    entry.load_package()
    loop = importlib.import_module("edgekit.engines.worker.loop")
    engine = importlib.import_module(f"edgekit.engines.{ENGINE}").ENGINE()
    bare_load, bare_bind, begin = engine.load, engine.bind, time.perf_counter()
    share = SHARES[kind]

    def load(model: str, *rest: Any) -> None:
        nonlocal share
        if kind == "slower":
            _, _, per_mille = Path(model).parent.name.partition(SLOWER)
            share = constant(int(per_mille or 0) / 1000)
        bare_load(model, *rest)

    def bind(array: Any) -> Callable[[], Any]:
        infer = bare_bind(array)

        def call() -> None:
            start = time.perf_counter()
            infer()
            end = time.perf_counter()
            until = end + (end - start) * share(end - begin)
            while time.perf_counter() < until:
                pass

        return call

    engine.load, engine.bind = load, bind
    code: int = loop.Worker(engine).serve(sys.stdin, loop._own_stdout())
    return code


def constant(share: float) -> Callable[[float], float]:
    return lambda _: share


# What is added to an inference, as a share of its time, by the seconds since the worker started.
SHARES: dict[str, Callable[[float], float]] = {
    "slower": constant(0.0),
    "drifting": lambda seconds: DRIFT_PER_S * seconds,
    "bimodal": lambda _: SECOND_MODE if random.random() < SLOW_SHARE else 0.0,
}

if __name__ == "__main__":
    sys.exit(main())
