"""ONNX Runtime by the worker over ONNX Runtime by the native runner, on this machine, in pairs.

Both load one artifact for one thread with the same version of ONNX Runtime, are alive together and take
turns in short blocks on one core, over pairs of fresh processes: left to the scheduler, the sides land on
cores that differ by 1 to 3 %. Printed are the ratios of the lower fiftieths of
latency, which a busy machine disturbs less than medians, with their 95 % intervals over the pairs
(Student's). Limit: 0.99 to 1.01.

The package holds two builds of ONNX Runtime: the module that Python imports, and the C library that the
native runner opens. A third side, Python with the C library, tells the difference of the builds from that
of the programs around them. A fourth is the native runner again, whose heap grows by 64 MB at once
(MALLOC_TOP_PAD_): what it differs by from the runner is the memory's place alone.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.util
import os
import tempfile
from pathlib import Path

from bench_overhead import BareLoop, export, lowest_in_turns, print_ratio, sample_worker

from edgekit.core.spec import Precision
from edgekit.runners.session import RunnerSession
from edgekit.targets.target import HostTarget, Subject, load_request
from edgekit.toolchain.build.native import build_runner
from edgekit.transports.local import LocalTransport

ENGINE = "onnxruntime"
WARMUP, BLOCK = 20, 20
WORKER, NATIVE, LIBRARY = "worker", "native runner", "C library in Python"
MOVED = "native runner with another heap"
ANOTHER_HEAP = {"MALLOC_TOP_PAD_": str(64 << 20)}
# One side over another, and the limits of their ratio; None where it explains the first.
RATIOS = (
    (WORKER, NATIVE, (0.99, 1.01)),
    (WORKER, LIBRARY, None),
    (LIBRARY, NATIVE, None),
    (MOVED, NATIVE, None),
)

# Functions are entries of ONNX Runtime's table, numbered as in edgekit/native/onnxruntime_slots.h.
LIBRARY_LOOP = """\
import ctypes, json, sys, time
import numpy
library, model = sys.argv[1:]
pointer = ctypes.c_void_p
get_base = ctypes.CDLL(library).OrtGetApiBase
get_base.restype = ctypes.POINTER(pointer)
table = ctypes.CFUNCTYPE(ctypes.POINTER(pointer), ctypes.c_uint32)(get_base()[0])(7)
def function(slot, *types):
    return ctypes.CFUNCTYPE(pointer, *types)(table[slot])
def call(slot, *arguments):
    types = [one if isinstance(one, type) else type(one) for one, _ in arguments]
    status = function(slot, *types)(*(value for _, value in arguments))
    assert status is None, ctypes.string_at(function(2, pointer)(status))
def made(slot, *arguments):
    result = pointer()
    call(slot, *arguments, (pointer, ctypes.addressof(result)))
    return result
env = made(3, (ctypes.c_int, 3), (ctypes.c_char_p, b"loop"))
options = made(10)
call(24, (pointer, options), (ctypes.c_int, 1))
call(25, (pointer, options), (ctypes.c_int, 1))
session = made(7, (pointer, env), (ctypes.c_char_p, model.encode()), (pointer, options))
memory = made(69, (ctypes.c_int, 0), (ctypes.c_int, 0))
data = numpy.random.RandomState(0).standard_normal((1, 3, 224, 224)).astype("float32")
dims = (ctypes.c_int64 * 4)(*data.shape)
value = made(49, (pointer, memory), (pointer, data.ctypes.data), (ctypes.c_size_t, data.nbytes),
             (pointer, ctypes.addressof(dims)), (ctypes.c_size_t, 4), (ctypes.c_int, 1))
allocator = made(78)
def name(slot):
    result = made(slot, (pointer, session), (ctypes.c_size_t, 0), (pointer, allocator))
    return (ctypes.c_char_p * 1)(ctypes.string_at(result.value))
inputs, outputs = name(36), name(37)
values, results = (pointer * 1)(value), (pointer * 1)()
address = ctypes.addressof
run = function(9, pointer, pointer, pointer, pointer, ctypes.c_size_t, pointer, ctypes.c_size_t, pointer)
arguments = session, None, address(inputs), address(values), 1, address(outputs), 1, address(results)
for line in sys.stdin:
    times = []
    for _ in range(int(line)):
        start = time.perf_counter_ns()
        status = run(*arguments)
        times.append(time.perf_counter_ns() - start)
        assert status is None, ctypes.string_at(function(2, pointer)(status))
    print(json.dumps(times), flush=True)
"""


def c_library() -> Path:
    """The C library in the installed package of ONNX Runtime."""
    found = importlib.util.find_spec("onnxruntime")
    assert found is not None and found.origin is not None, "ONNX Runtime is not installed"
    (library,) = Path(found.origin).parent.glob("capi/libonnxruntime.so.*")
    return library


def lowest(target: HostTarget, subject: Subject, blocks: int, native: Path, *, core: int) -> dict[str, float]:
    """Nanoseconds of an inference by each side, all in fresh processes on one core: the lower fiftieths."""
    artifact = subject.artifact(target.artifact_kind(ENGINE, Precision.FP32))
    request = load_request(target, subject, artifact, cores=(core,))
    loop = BareLoop(LIBRARY_LOOP, c_library(), Path(request.model), core=core)
    with (
        contextlib.closing(loop),
        target.session(ENGINE, WORKER) as worker,
        RunnerSession(LocalTransport(), [str(native)], label=NATIVE) as runner,
        RunnerSession(LocalTransport(), [str(native)], env=ANOTHER_HEAP, label=MOVED) as moved,
    ):
        worker.load(request)
        runner.load(request)
        moved.load(request)
        sides = {
            WORKER: functools.partial(sample_worker, worker),
            NATIVE: functools.partial(sample_worker, runner),
            LIBRARY: loop.run,
            MOVED: functools.partial(sample_worker, moved),
        }
        return lowest_in_turns(sides, blocks, warmup=WARMUP, block=BLOCK)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=20, help="pairs of fresh processes")
    parser.add_argument("--blocks", type=int, default=24, help=f"blocks of {BLOCK} inferences a process")
    arguments = parser.parse_args()
    native = build_runner(ENGINE, "x86_64", progress=print).path
    with tempfile.TemporaryDirectory(prefix="edgekit-runners-") as name:
        subject = export("PPLCNet_x0_25", Path(name) / "PPLCNet_x0_25")
        cores = sorted(os.sched_getaffinity(0))
        rounds = [
            lowest(HostTarget(), subject, arguments.blocks, native, core=cores[number % len(cores)])
            for number in range(arguments.pairs)
        ]
    verdicts = [print_ratio(rounds, *each) for each in RATIOS]
    return 0 if all(verdicts) else 9


if __name__ == "__main__":
    raise SystemExit(main())
