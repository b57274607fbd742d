"""Sizes of a network's layers, read from its Paddle program without running it."""

from __future__ import annotations

import math
from pathlib import Path

from edgekit.convert.formats.operators import read_program
from edgekit.core.artifact import ArtifactKind, Manifest
from edgekit.estimate.soc_model import CACHES_MIB, Layers

FLOAT_BYTES = 4
MIB_BYTES = 1 << 20


def read_layers(directory: Path, manifest: Manifest) -> Layers | None:
    """Return the sizes of a model's layers; None without a program, or where it leaves sizes free.

    Raises:
        InputError: The program cannot be read.
        ToolError: Paddle, which reads it, is not installed.
    """
    artifact = manifest.artifact(ArtifactKind.PADDLE)
    if artifact is None:
        return None
    block = read_program(directory / artifact.main_file).blocks[0]
    shapes = {each.name: tuple(each.type.dense_tensor.tensor.dims) for each in block.vars}
    weights = {each.name for each in block.vars if each.persistable}
    pointwise = spatial = head = 0
    touched = []
    for op in block.ops:
        names = {slot.parameter: slot.arguments[0] for slot in op.inputs if slot.arguments}
        slots = {slot: shapes.get(name, ()) for slot, name in names.items()}
        out = next((shapes.get(slot.arguments[0], ()) for slot in op.outputs if slot.arguments), ())
        if op.type in ("conv2d", "depthwise_conv2d"):
            inner, kernel = slots["Input"], slots["Filter"]
            depthwise = kernel[1] == 1 and inner[1] > 1
            work = math.prod(kernel[1:]) * math.prod(out[1:])
            if not depthwise and kernel[2:] == (1, 1):
                pointwise += work
            elif not depthwise:
                spatial += work
        elif op.type in ("mul", "matmul", "matmul_v2") and names.get("Y") in weights:
            inner, kernel = slots["X"], slots["Y"]
            pointwise += math.prod(kernel) * math.prod(out[1:-1])
            head += math.prod(kernel) * FLOAT_BYTES
        else:
            continue
        if any(size < 0 for size in (*inner[1:], *out[1:])):
            return None
        touched.append((math.prod(inner[1:]) + math.prod(out[1:])) * FLOAT_BYTES)
    return Layers(
        pointwise_m=round(pointwise / 1e6, 3),
        spatial_m=round(spatial / 1e6, 3),
        activations_mb=round(sum(touched) / 1e6, 3),
        head_mb=round(head / 1e6, 3),
        layers=len(touched),
        beyond_cache_mb={
            str(cache): round(sum(max(0, each - cache * MIB_BYTES) for each in touched) / 1e6, 3)
            for cache in CACHES_MIB
        },
    )
