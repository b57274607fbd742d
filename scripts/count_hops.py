"""How many modules of edgekit one turn of a sweep goes through on its way to a transport; limit 20.

Runs `edgekit bench` with the options given, on a device, and follows every call from the sweep's turn on. Not
counted is what a transport calls itself. The last turn counts.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import FrameType

import edgekit
from edgekit.cli.root import main as run_edgekit

LIMIT = 20
ROOT = f"{Path(edgekit.__file__).parent}/"


class Trace:
    """Modules by turn, of all threads."""

    def __init__(self) -> None:
        self.turns: list[set[str]] = []
        self._in_turn = False
        self._far = threading.local()

    def follow(self, frame: FrameType, event: str, _: object) -> None:
        """A profile function (`sys.setprofile`)."""
        code = frame.f_code
        if event not in ("call", "return") or not code.co_filename.startswith(ROOT):
            return
        module = code.co_filename.removeprefix(ROOT)
        far: int = getattr(self._far, "depth", 0)
        if module.startswith("transports/"):
            self._far.depth = far + (1 if event == "call" else -1)
        elif module == "bench/sweep.py" and code.co_name == "_turn":
            self._in_turn = event == "call"
            if self._in_turn:
                self.turns.append({module})
        elif self._in_turn and far == 0 and event == "call":
            self.turns[-1].add(module)


def main() -> int:
    trace = Trace()
    sys.argv = ["edgekit", "bench", *sys.argv[1:]]
    threading.setprofile(trace.follow)
    sys.setprofile(trace.follow)
    try:
        run_edgekit()
    except SystemExit:
        pass
    finally:
        sys.setprofile(None)
    if not trace.turns:
        print("no turn ran")
        return 1
    modules = trace.turns[-1]
    print(*sorted(modules), sep="\n")
    print(f"{len(modules)} modules between a sweep's turn and the transport (limit {LIMIT})")
    return 0 if len(modules) <= LIMIT else 9


if __name__ == "__main__":
    sys.exit(main())
