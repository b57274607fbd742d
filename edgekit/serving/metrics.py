"""Metrics of the service beside those of MLServer.

In Prometheus's own registry: MLServer 1.7.1 shows no other one unless it has workers of its own. In a module
of its own: MLServer imports a runtime's module again for every model.
"""

from __future__ import annotations

from prometheus_client import Histogram

BATCH_SIZES = Histogram(
    "edgekit_batch_size", "Pictures computed together", ["model"], buckets=(1, 2, 4, 8, 16, 32, 64)
)
