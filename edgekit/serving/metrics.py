"""Metrics of the service in addition to MLServer's.

The metrics are in Prometheus's default registry, because MLServer 1.7.1 shows another only with workers of
its own; and in a module of their own, because MLServer imports a runtime's module again for every model.
"""

from __future__ import annotations

from prometheus_client import Histogram

BATCH_SIZES = Histogram(
    "edgekit_batch_size", "Pictures computed together", ["model"], buckets=(1, 2, 4, 8, 16, 32, 64)
)
