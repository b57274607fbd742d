"""Sums and products that Paddle has one operator for: activations and layer norms out of their pieces.

The pieces stay in the program while others read them; those that nobody reads are dropped at its end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from edgekit.convert.from_onnx import lower
from edgekit.convert.from_onnx.program import Program
from edgekit.convert.from_onnx.values import Value


def recognised(to: Program, kind: str, x: Value, y: Value) -> Value | None:
    """The result of an Add, Mul or Div that ends such a pattern; None where it ends none."""
    found = None
    if kind == "Mul":
        found = _gated(to, x, y) or _gated(to, y, x) or _gelu(to, x, y)
        found = found or _scaled_norm(to, x, y) or _scaled_norm(to, y, x)
    if kind == "Add":
        found = _shifted_norm(to, x, y) or _shifted_norm(to, y, x)
    if found is None and kind in ("Mul", "Div"):
        found = _sixth_of_gated(to, x, y, kind)
    return found


def _gated(to: Program, x: Value, gate: Value) -> Value | None:
    """x * gate(x) where Paddle has one operator for both, which opt is faster with."""
    if x.variable is None:
        return None
    if gate.is_made_by("hard_sigmoid", slope=1 / 6, offset=0.5) and gate.source is x:
        return lower.unary(to, "hard_swish", x, threshold=6.0, scale=6.0, offset=3.0)
    if gate.is_made_by("sigmoid") and gate.source is x:
        return lower.unary(to, "swish", x, beta=1.0)
    if gate.is_made_by("tanh") and gate.source.is_made_by("softplus") and gate.source.source is x:
        return lower.unary(to, "mish", x, threshold=20.0)
    sixth = gate.is_made_by("scale", scale=1 / 6, bias=0.0) or _is_sixth(gate)
    if sixth and gate.source.is_made_by("relu6"):
        moved = gate.source.source
        if moved.is_made_by("scale", scale=1.0, bias=3.0) and moved.source is x:
            return lower.unary(to, "hard_swish", x, threshold=6.0, scale=6.0, offset=3.0)
    return None


def _is_sixth(x: Value) -> bool:
    return x.is_made_by("elementwise_div") and x.made_by is not None and x.made_by[1]["Y"].scalar() == 6.0


def _sixth_of_gated(to: Program, product: Value, divisor: Value, kind: str) -> Value | None:
    """(x * relu6(x + 3)) / 6."""
    number = divisor.scalar()
    if number is None or abs((1 / number if kind == "Div" and number else number) - 1 / 6) > 1e-6:
        return None
    if not product.is_made_by("elementwise_mul") or product.made_by is None:
        return None
    sides = product.made_by[1]
    for x, gate in ((sides["X"], sides["Y"]), (sides["Y"], sides["X"])):
        if not gate.is_made_by("relu6"):
            continue
        moved = gate.source
        if moved.is_made_by("scale", scale=1.0, bias=3.0) and moved.source is x:
            return lower.unary(to, "hard_swish", x, threshold=6.0, scale=6.0, offset=3.0)
    return None


def _gelu(to: Program, x: Value, y: Value) -> Value | None:
    """x * (1 + erf(x / √2)) / 2, however its factors are grouped."""
    for number, factors in _factored(x, y):
        for source, gate in (factors, factors[::-1]):
            half = 0.5 / number if number else 0.0
            if not gate.is_made_by("scale", scale=half, bias=half) or not gate.source.is_made_by("erf"):
                continue
            inner = gate.source.source
            divided = inner.is_made_by("elementwise_div") and _is_number(inner.made_by[1]["Y"], math.sqrt(2))
            if inner.source is source and (
                divided or inner.is_made_by("scale", scale=math.sqrt(0.5), bias=0.0)
            ):
                return lower.unary(to, "gelu", source, approximate=False)
    return None


def _factored(x: Value, y: Value) -> Iterator[tuple[float, list[Value]]]:
    """The ways to see a product as a number times two tensors."""
    for number, factors in _ways(x):
        for other, others in _ways(y):
            if len(factors) + len(others) == 2:
                yield number * other, [*factors, *others]


def _ways(x: Value) -> Iterator[tuple[float, list[Value]]]:
    """The ways to see a tensor as a number times at most two tensors, e.g. as itself times one."""
    number = x.scalar()
    if number is not None:
        yield number, []
        return
    yield 1.0, [x]
    if x.is_made_by("scale", bias=0.0) and x.made_by is not None:
        factor = float(x.made_by[2]["scale"])
        yield from ((factor * inner, factors) for inner, factors in _ways(x.source))
    if x.is_made_by("elementwise_mul") and x.made_by is not None:
        sides = x.made_by[1]
        for side, other in ((sides["X"], sides["Y"]), (sides["Y"], sides["X"])):
            if side.is_made_by("scale", bias=0.0):
                yield float(side.made_by[2]["scale"]), [side.source, other]
        yield 1.0, [sides["X"], sides["Y"]]


def _is_number(x: Value, number: float) -> bool:
    own = x.scalar()
    return own is not None and math.isclose(own, number, rel_tol=1e-5)


def _scaled_norm(to: Program, x: Value, factor: Value) -> Value | None:
    """(s - mean(s)) / √(mean((s - mean(s))²) + epsilon) * factor over the last axes of s."""
    if not x.is_made_by("elementwise_div") or not factor.is_constant or x.made_by is None:
        return None
    centred, deviation = x.made_by[1]["X"], x.made_by[1]["Y"]
    if not deviation.is_made_by("sqrt") or not deviation.source.is_made_by("scale", scale=1.0):
        return None
    epsilon, variance = float(deviation.source.made_by[2]["bias"]), deviation.source.source
    mean = _mean_over_last(variance)
    if mean is None or epsilon <= 0:
        return None
    squared, axis = mean
    roots = _roots(squared)
    source = _centred(centred, axis)
    if source is None or not roots or any(_centred(each, axis) is not source for each in roots):
        return None
    vector = _along(factor, source.shape[axis:])
    if vector is None:
        return None
    return lower.layer_norm(to, source, vector, None, axis, epsilon)


def _shifted_norm(to: Program, x: Value, term: Value) -> Value | None:
    """A layer norm without a bias, and the bias."""
    if not x.is_made_by("layer_norm") or not term.is_constant or x.made_by is None:
        return None
    _, inputs, attributes = x.made_by
    axis = attributes["begin_norm_axis"]
    vector = _along(term, x.shape[axis:])
    own = inputs["Bias"]
    if vector is None or not own.is_constant or own.array().any():
        return None
    return lower.layer_norm(to, inputs["X"], inputs["Scale"], vector, axis, attributes["epsilon"])


def _mean_over_last(x: Value) -> tuple[Value, int] | None:
    """The tensor that x is the mean of, and the first of the axes that it is taken over."""
    if not x.is_made_by("reduce_mean") or x.made_by is None:
        return None
    source, attributes = x.source, x.made_by[2]
    axes = list(attributes["dim"])
    if not attributes["keep_dim"] or axes != list(range(axes[0], source.rank)) or not axes[0]:
        return None
    return source, axes[0]


def _roots(x: Value) -> list[Value]:
    """The tensors whose product a square is."""
    if x.is_made_by("square"):
        return [x.source]
    return [x.made_by[1]["X"], x.made_by[1]["Y"]] if x.is_made_by("elementwise_mul") and x.made_by else []


def _centred(x: Value, axis: int) -> Value | None:
    """The tensor that x is without its mean over the axes from `axis` on."""
    if not x.is_made_by("elementwise_sub") or x.made_by is None:
        return None
    source, mean = x.made_by[1]["X"], _mean_over_last(x.made_by[1]["Y"])
    return source if mean is not None and mean[0] is source and mean[1] == axis else None


def _along(x: Value, shape: tuple[int, ...]) -> Value | None:
    """A constant of that shape, with ones in front or not, as a vector."""
    own = x.shape[: -len(shape)]
    if x.shape[-len(shape) :] != shape or math.prod(own) != 1 or x.dtype != np.float32:
        return None
    return Value(x.dtype, (x.size,), constant=x.array().reshape(-1))
