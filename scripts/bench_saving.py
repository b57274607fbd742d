"""Cost of saving in a large sweep: 1,000 points, 5 processes, 2,000 samples each, with an engine that idles.

Saving is what the journal takes with each turn and the document at the end. Limits: 1 % of the time that the
inferences would take at a millisecond each, a turn at the end as cheap as one at the beginning within a
factor of two, and memory that grows from the first tenth to the end by no more than the samples as Python has
them and a tenth.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

from idle_target import ENGINE, IdleTarget, idle_subject

from edgekit.bench import bench as bench_module
from edgekit.bench.journal import Journal
from edgekit.core.bench_options import BenchOptions
from edgekit.core.measurement import Point, ProcessRun, Result
from edgekit.core.stats import median

LATENCY_MS = 1.0
SHARE_LIMIT = 0.01
GROWTH_LIMIT = 2.0
MEMORY_LIMIT = 1.1
# Python has a whole number beyond the small ones in steps of 16 bytes; its place in a tuple takes 8 more.
SAMPLE_BYTES = -(-sys.getsizeof(1_000_000) // 16) * 16 + 8


class TimedJournal(Journal):
    """A journal that notes what each of its calls took, s."""

    turns_s: list[float]
    resident: list[int]
    close_s: float
    last: TimedJournal

    def __init__(self, path: Path, document: Result) -> None:
        self.turns_s, self.resident = [], []
        TimedJournal.last = self
        super().__init__(path, document)

    def add(self, number: int, point: Point, run: ProcessRun | None = None) -> None:
        started = time.perf_counter()
        super().add(number, point, run)
        if run is not None:
            self.turns_s.append(time.perf_counter() - started)
            self.resident.append(_resident_bytes())

    def close(self, ended_at: str) -> bool:
        started = time.perf_counter()
        written = super().close(ended_at)
        self.close_s = time.perf_counter() - started
        return written


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--samples", type=int, default=2000)
    asked = parser.parse_args()
    bench_module.Journal = TimedJournal  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory(prefix="edgekit-saving-", dir=".") as name:
        path = Path(name) / "sweep.json"
        options = BenchOptions(
            engines=(ENGINE,),
            batch_sizes=tuple(range(1, asked.points + 1)),
            processes=asked.processes,
            output=str(path),
        )
        target = IdleTarget(samples=asked.samples, latency_ms=LATENCY_MS)
        subject = idle_subject(Path(name) / "Idle")
        started = time.perf_counter()
        done = bench_module.bench(target, [subject], options, show=lambda _: None, references=lambda _: None)
        wall_s = time.perf_counter() - started
        size = path.stat().st_size
    journal = TimedJournal.last
    samples = sum(len(point.samples_ns) for point in done.result.points)
    inference_s = samples * LATENCY_MS / 1000
    saving_s = sum(journal.turns_s) + journal.close_s
    part = max(1, len(journal.turns_s) // 10)
    growth = median(journal.turns_s[-part:]) / median(journal.turns_s[:part])
    share = saving_s / (saving_s + inference_s)
    gained = (_resident_bytes() - journal.resident[part]) / (0.9 * samples * SAMPLE_BYTES)
    print(f"{len(done.result.points)} points, {samples:,} samples, {size / 1e6:.0f} MB, {wall_s:.0f} s")
    print(f"turns {sum(journal.turns_s):.1f} s, the document at the end {journal.close_s:.1f} s")
    held = True
    for what, value, limit, shown in (
        (f"saving, of {inference_s:,.0f} s of inference", share, SHARE_LIMIT, ".3%"),
        ("a turn's saving at the end over one at the beginning", growth, GROWTH_LIMIT, ".2f"),
        (f"memory, of {SAMPLE_BYTES} B a sample", gained, MEMORY_LIMIT, ".2f"),
    ):
        held = held and value <= limit
        print(f"{what}: {value:{shown}} (limit {limit:{shown}}) {'ok' if value <= limit else 'MISSED'}")
    return 0 if held else 9


def _resident_bytes() -> int:
    """The most memory that the process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main())
