"""Estimates of `edgekit estimate`, matched with points of a benchmark."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edgekit.core.device import DeviceInfo
from edgekit.core.measurement import Point

ENGINE = "paddlelite"
LOCAL = "local"


class Estimated(msgspec.Struct, frozen=True, kw_only=True):
    """Estimated latency of one model, precision and number of threads, with its interval, ms."""

    soc: str
    model: str
    precision: str
    threads: int
    latency_ms: float
    low_ms: float
    high_ms: float

    def judge(self, latency_ms: float | None) -> str | None:
        """Return `within` or `contradicted` by a measured latency; None without one."""
        if latency_ms is None:
            return None
        return "within" if self.low_ms <= latency_ms <= self.high_ms else "contradicted"


def find_estimate(point: Point, target: DeviceInfo, estimates: Sequence[Estimated]) -> Estimated | None:
    """Return the estimate of a point: Paddle Lite on a phone that is not emulated, one picture at a time."""
    if target.emulated or target.transport == LOCAL or (point.engine, point.batch_size) != (ENGINE, 1):
        return None
    asked = (point.model, point.precision.value, point.requested_threads)
    return next((one for one in estimates if (one.model, one.precision, one.threads) == asked), None)
