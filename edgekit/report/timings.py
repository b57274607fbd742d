"""Figures of a point's samples, fast enough for reports over hundreds of files.

`Point.latency_ns` and `core.stats` give equal figures but sort in Python at every call; numpy sorts once
here.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence

import msgspec
import numpy
import numpy.typing

from edgekit.core.measurement import Point, Result
from edgekit.core.stats import SAMPLES_FOR_PERCENTILE, median, rising_percentile

Ordered = numpy.typing.NDArray[numpy.float64]
Times = numpy.typing.NDArray[numpy.int64]


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a point's samples.

    Attributes:
        latency_ns: Median of the processes' medians, ns.
        medians_ns: Median of each process, ns.
        p90_ns: 90th percentile of all samples, ns; None where they are too few to show it.
        spread: Half the distance between p10 and p90 of all samples, over the median.
    """

    latency_ns: float | None = None
    medians_ns: tuple[float, ...] = ()
    p90_ns: float | None = None
    spread: float | None = None


def compact(result: Result) -> Result:
    """Return a result whose samples are arrays of 8 bytes each, a fifth of what a tuple of integers takes."""
    points = tuple(
        msgspec.structs.replace(
            point,
            processes=tuple(
                msgspec.structs.replace(run, samples_ns=packed(run.samples_ns)) for run in point.processes
            ),
        )
        for point in result.points
    )
    return msgspec.structs.replace(result, points=points)


def timings(point: Point) -> Timings:
    """Return all figures of a point; None without samples."""
    runs = list(_ordered(point))
    if not runs:
        return Timings()
    every = numpy.concatenate(runs)
    every.sort(kind="stable")  # merges the sorted runs in half of the time
    p10, middle, p90 = (rising_percentile(every, rank) for rank in (10, 50, 90))
    medians = tuple(rising_percentile(run, 50) for run in runs)
    return Timings(
        latency_ns=median(medians),
        medians_ns=medians,
        p90_ns=p90 if len(every) >= SAMPLES_FOR_PERCENTILE[90] else None,
        spread=(p90 - p10) / 2 / middle,
    )


def latency_ns(point: Point) -> float | None:
    """Return the median of the processes' medians, ns."""
    medians = [rising_percentile(run, 50) for run in _ordered(point)]
    return median(medians) if medians else None


def _ordered(point: Point) -> Iterator[Times]:
    """Return the samples of each process that has any, ns, ascending."""
    for run in point.processes:
        if run.samples_ns:
            yield numpy.sort(numpy.frombuffer(packed(run.samples_ns), numpy.int64))


def packed(samples: Sequence[int]) -> array[int]:
    """Return samples as an array of 8 bytes each."""
    if isinstance(samples, array):
        return samples
    # `struct` reads a tuple of integers in a tenth of the time that `array` and numpy take.
    return array("q", struct.pack(f"{len(samples)}q", *samples))


def ordered(samples: Sequence[float]) -> Ordered:
    """Return the samples sorted ascending."""
    return numpy.sort(numpy.array(samples, float))
