"""Products of matrices."""

from __future__ import annotations

import math

import numpy as np

from edgekit.convert.from_onnx import lower
from edgekit.convert.from_onnx.node import Node, converts
from edgekit.convert.from_onnx.program import Program
from edgekit.convert.from_onnx.values import Value


@converts("MatMul")
def matmul(node: Node, to: Program) -> Value:
    x, y = node[0], node[1]
    if x.is_float:
        return lower.matmul(to, x, y)
    product = lower.matmul(to, lower.cast(to, x, "float64"), lower.cast(to, y, "float64"))
    return lower.cast(to, product, x.dtype)


@converts("Gemm")
def gemm(node: Node, to: Program) -> Value:
    x, y, bias = node[0], node[1], node.get(2)
    alpha, beta = float(node.attribute("alpha", 1.0)), float(node.attribute("beta", 1.0))
    turn_x, turn_y = bool(node.attribute("transA", 0)), bool(node.attribute("transB", 0))
    if turn_y and y.is_constant and y.variable is None:
        # Stored as it is used: that is what Paddle's and opt's fully connected layer is made of.
        y, turn_y = lower.transpose(to, y, [1, 0]), False
    result = lower.matmul(to, x, y, transpose_x=turn_x, transpose_y=turn_y)
    if alpha != 1.0:
        result = lower.scale(to, result, alpha)
    if bias is None or beta == 0.0:
        return result
    if beta != 1.0:
        bias = _scaled(to, bias, beta)
    if bias.is_constant and bias.size == result.shape[1] and (bias.rank < 2 or bias.shape[0] == 1):
        bias = lower.reshape(to, bias, (bias.size,))
        return to.emit("elementwise_add", {"X": result, "Y": bias}, {"axis": 1})
    return lower.add(to, result, bias)


def _scaled(to: Program, x: Value, factor: float) -> Value:
    if x.is_constant and x.variable is None:
        return to.constant(x.array() * factor, x.dtype)
    return lower.scale(to, x, factor)


@converts("Einsum")
def einsum(node: Node, to: Program) -> Value:
    """Sums of products of one or two tensors, by a product of matrices over the indices that vanish."""
    equation = node.attribute("equation").replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    values = [node[index] for index in range(len(node.inputs))]
    if len(terms) != len(values) or len(terms) > 2:
        raise node.refused(f"the equation {equation!r} of {len(terms)} tensors")
    terms, ellipsis = _without_ellipsis(terms, values)
    right = right.replace("...", ellipsis)
    if not arrow:
        letters = "".join(terms)
        once = [each for each in letters if each not in ellipsis and letters.count(each) == 1]
        right = ellipsis + "".join(sorted(once))
    for index, term in enumerate(terms):
        if len(set(term)) != len(term):
            terms[index], values[index] = _diagonal(to, term, values[index])
    if len(terms) == 1:
        return _permuted(to, *_summed(to, terms[0], values[0], right), right)
    (x_term, y_term), (x, y) = terms, values
    x_term, x = _summed(to, x_term, x, y_term + right)
    y_term, y = _summed(to, y_term, y, x_term + right)
    batch = [each for each in x_term if each in y_term and each in right]
    inner = [each for each in x_term if each in y_term and each not in right]
    rows = [each for each in x_term if each not in y_term]
    columns = [each for each in y_term if each not in x_term]
    size = dict(zip(x_term + y_term, x.shape + y.shape, strict=True))
    for term, value in ((x_term, x), (y_term, y)):
        size.update({each: length for each, length in zip(term, value.shape, strict=True) if length != 1})
    x = lower.expand(to, x, [size[each] for each in x_term])
    y = lower.expand(to, y, [size[each] for each in y_term])

    def count(letters: list[str]) -> int:
        return math.prod(size[each] for each in letters)

    x = _permuted(to, x_term, x, "".join(batch + rows + inner))
    y = _permuted(to, y_term, y, "".join(batch + inner + columns))
    lead = [size[each] for each in batch]
    product = lower.matmul(
        to,
        lower.reshape(to, x, (*lead, count(rows), count(inner))),
        lower.reshape(to, y, (*lead, count(inner), count(columns))),
    )
    order = batch + rows + columns
    product = lower.reshape(to, product, [size[each] for each in order])
    return _permuted(to, "".join(order), product, right)


def _without_ellipsis(terms: list[str], values: list[Value]) -> tuple[list[str], str]:
    """Return the terms with capitals that none uses for the dimensions of an ellipsis, and these capitals."""
    used = set("".join(terms))
    free = [each for each in "ZYXWVUTSRQPONM" if each not in used]
    widths = [
        value.rank - len(term.replace("...", ""))
        for term, value in zip(terms, values, strict=True)
        if "..." in term
    ]
    names = "".join(free[: max(widths, default=0)])
    said = [
        term.replace("...", names[len(names) - (value.rank - len(term.replace("...", ""))) :])
        if "..." in term
        else term
        for term, value in zip(terms, values, strict=True)
    ]
    return said, names


def _diagonal(to: Program, term: str, value: Value) -> tuple[str, Value]:
    letters = sorted(set(term), key=term.index)
    grid = np.indices([value.shape[term.index(each)] for each in letters])
    flat = np.ravel_multi_index([grid[letters.index(each)] for each in term], value.shape)
    line = lower.gather(
        to, lower.reshape(to, value, (value.size,)), to.constant(flat.reshape(-1), "int64"), 0
    )
    return "".join(letters), lower.reshape(to, line, flat.shape)


def _summed(to: Program, term: str, value: Value, kept: str) -> tuple[str, Value]:
    axes = [axis for axis, each in enumerate(term) if each not in kept]
    if not axes:
        return term, value
    left = "".join(each for each in term if each in kept)
    return left, lower.reduce(to, "reduce_sum", value, axes, False)


def _permuted(to: Program, term: str, value: Value, wanted: str) -> Value:
    return lower.transpose(to, value, [term.index(each) for each in wanted])


@converts("Det")
def determinant(node: Node, to: Program) -> Value:
    return to.emit("determinant", {"Input": node[0]}, {})
