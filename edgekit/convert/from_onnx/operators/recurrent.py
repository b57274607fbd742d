"""Recurrent layers, unrolled: the number of steps is known, as all shapes are."""

from __future__ import annotations

import numpy as np

from edgekit.convert.from_onnx import lower
from edgekit.convert.from_onnx.node import Node, converts
from edgekit.convert.from_onnx.program import Program
from edgekit.convert.from_onnx.values import Value

MOST_STEPS = 256
_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_DEFAULTS = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}


@converts("RNN", "GRU", "LSTM")
def recurrent(node: Node, to: Program) -> list[Value | None]:
    x, weights, loops = node[0], node[1], node[2]
    size = loops.shape[2]
    directions = loops.shape[0]
    batch_first = bool(node.attribute("layout", 0))
    if batch_first:
        x = lower.transpose(to, x, [1, 0, 2])
    steps, batch = x.shape[:2]
    if steps > MOST_STEPS:
        raise node.refused(f"{steps} steps, edgekit unrolls at most {MOST_STEPS}")
    lengths = node.get(4)
    if lengths is not None and (not lengths.is_constant or (lengths.array() != steps).any()):
        raise node.refused("sequences of different lengths")
    kinds = node.attribute("activations") or _DEFAULTS[node.kind] * directions
    direction = node.attribute("direction", "forward")
    clip = node.attribute("clip")
    every, lasts, cells = [], [], []
    for index in range(directions):
        layer = _Layer(node, to, index, size, batch, batch_first, kinds, clip)
        order = list(range(steps))
        if direction == "reverse" or index == 1:
            order.reverse()
        outputs: dict[int, Value] = {}
        inputs = layer.inputs(lower.reshape(to, x, (steps * batch, x.shape[2])), weights, steps)
        for step in order:
            outputs[step] = layer.step(inputs[step])
        every.append(lower.concat(to, [lower.unsqueeze(to, outputs[step], [0]) for step in range(steps)], 0))
        lasts.append(lower.unsqueeze(to, layer.hidden, [0]))
        if layer.cell is not None:
            cells.append(lower.unsqueeze(to, layer.cell, [0]))
    whole = lower.concat(to, [lower.unsqueeze(to, each, [1]) for each in every], 1)
    last = lower.concat(to, lasts, 0)
    cell = lower.concat(to, cells, 0) if cells else None
    if batch_first:
        whole = lower.transpose(to, whole, [2, 0, 1, 3])
        last = lower.transpose(to, last, [1, 0, 2])
        cell = None if cell is None else lower.transpose(to, cell, [1, 0, 2])
    return [whole, last] if node.kind != "LSTM" else [whole, last, cell]


class _Layer:
    """One direction of a layer, and its state as the steps go."""

    def __init__(
        self, node: Node, to: Program, index: int, size: int, batch: int, batch_first: bool, kinds: list[str],
        clip: float | None,
    ) -> None:  # fmt: skip
        self._node, self._to, self._index, self._size, self._clip = node, to, index, size, clip
        count = len(_DEFAULTS[node.kind])
        self._kinds = kinds[index * count : (index + 1) * count]
        self._alphas = node.attribute("activation_alpha")
        if self._alphas is not None or node.attribute("activation_beta") is not None:
            raise node.refused("activations with parameters")
        self._loops = self._of_direction(node[2])
        self._bias = None if node.get(3) is None else self._of_direction(node[3])
        self._batch = batch

        def state(place: int) -> Value:
            given = node.get(place)
            if given is None:
                return to.constant(np.zeros((batch, size)), node[0].dtype)
            if batch_first:
                given = lower.transpose(to, given, [1, 0, 2])
            return self._of_direction(given)

        self.hidden = state(5)
        self.cell = state(6) if node.kind == "LSTM" else None
        peepholes = node.get(7) if node.kind == "LSTM" else None
        self._peepholes = None if peepholes is None else self._of_direction(peepholes)

    def _of_direction(self, value: Value) -> Value:
        if value.is_constant and value.variable is None:
            return self._to.constant(value.array()[self._index])
        return lower.squeeze(self._to, lower.cut(self._to, value, 0, self._index, self._index + 1), [0])

    def _part(self, value: Value, number: int, axis: int = 0) -> Value:
        start = number * self._size
        if value.is_constant and value.variable is None:
            taken = np.take(value.array(), range(start, start + self._size), axis=axis)
            return self._to.constant(taken)
        return lower.cut(self._to, value, axis, start, start + self._size)

    def inputs(self, x: Value, weights: Value, steps: int) -> list[Value]:
        """Write the gates' product with the inputs of all steps at once."""
        to, gates = self._to, _GATES[self._node.kind]
        product = lower.matmul(to, x, self._of_direction(weights), transpose_y=True)
        if self._bias is not None:
            if not self._bias.is_constant:
                raise self._node.refused("biases that are computed while it runs")
            numbers = self._bias.array()
            half = gates * self._size
            bias = numbers[:half].copy()
            rest = numbers[half:].copy()
            if self._node.kind == "GRU" and self._node.attribute("linear_before_reset", 0):
                rest[2 * self._size :] = 0
            product = lower.add(to, product, to.constant(bias + rest))
        return [
            lower.cut(to, product, 0, step * self._batch, (step + 1) * self._batch) for step in range(steps)
        ]

    def _activate(self, number: int, x: Value) -> Value:
        if self._clip is not None:
            x = lower.clip(self._to, x, -self._clip, self._clip)
        kinds = {
            "Sigmoid": "sigmoid",
            "Tanh": "tanh",
            "Relu": "relu",
            "Softsign": "softsign",
            "Softplus": "softplus",
        }
        kind = kinds.get(self._kinds[number])
        if kind is None:
            raise self._node.refused(f"the activation {self._kinds[number]!r}")
        return lower.unary(self._to, kind, x)

    def step(self, x: Value) -> Value:
        return {"RNN": self._rnn, "GRU": self._gru, "LSTM": self._lstm}[self._node.kind](x)

    def _rnn(self, x: Value) -> Value:
        to = self._to
        fed = lower.add(to, x, lower.matmul(to, self.hidden, self._loops, transpose_y=True))
        self.hidden = self._activate(0, fed)
        return self.hidden

    def _lstm(self, x: Value) -> Value:
        to = self._to
        assert self.cell is not None
        fed = lower.add(to, x, lower.matmul(to, self.hidden, self._loops, transpose_y=True))
        entry, leave, forget, new = (self._part(fed, number, 1) for number in range(4))
        if self._peepholes is not None:
            entry = lower.add(to, entry, lower.mul(to, self.cell, self._part(self._peepholes, 0)))
            forget = lower.add(to, forget, lower.mul(to, self.cell, self._part(self._peepholes, 2)))
        entry, forget = self._activate(0, entry), self._activate(0, forget)
        if self._node.attribute("input_forget", 0):
            forget = lower.scale(to, entry, -1.0, 1.0)
        new = self._activate(1, new)
        self.cell = lower.add(to, lower.mul(to, forget, self.cell), lower.mul(to, entry, new))
        if self._peepholes is not None:
            leave = lower.add(to, leave, lower.mul(to, self.cell, self._part(self._peepholes, 1)))
        leave = self._activate(0, leave)
        self.hidden = lower.mul(to, leave, self._activate(2, self.cell))
        return self.hidden

    def _gru(self, x: Value) -> Value:
        to, size = self._to, self._size
        update_in, reset_in, new_in = (self._part(x, number, 1) for number in range(3))
        parts = [self._part(self._loops, number) for number in range(3)]
        update = self._activate(
            0, lower.add(to, update_in, lower.matmul(to, self.hidden, parts[0], transpose_y=True))
        )
        reset = self._activate(
            0, lower.add(to, reset_in, lower.matmul(to, self.hidden, parts[1], transpose_y=True))
        )
        if self._node.attribute("linear_before_reset", 0):
            inner = lower.matmul(to, self.hidden, parts[2], transpose_y=True)
            if self._bias is not None:
                inner = lower.add(to, inner, to.constant(self._bias.array()[5 * size : 6 * size]))
            inner = lower.mul(to, reset, inner)
        else:
            inner = lower.matmul(to, lower.mul(to, reset, self.hidden), parts[2], transpose_y=True)
        new = self._activate(1, lower.add(to, new_in, inner))
        keep = lower.mul(to, update, self.hidden)
        self.hidden = lower.add(to, lower.mul(to, lower.scale(to, update, -1.0, 1.0), new), keep)
        return self.hidden
