"""The teacher of a distillation: a network that answers, and does not learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgekit.core.preprocess import Preprocess
from edgekit.core.spec import ModelSpec
from edgekit.errors import InputError
from edgekit.zoo.weights import build_with_weights

if TYPE_CHECKING:
    import paddle
    from numpy.typing import NDArray


class Teacher:
    """A network of the zoo with its weights, which takes pictures as the student's preprocessing makes them.

    Args:
        spec: Card of the teacher.
        weights: `pretrained` or the path of a `.pdparams`.
        student: Preprocessing of the pictures that it will get.
        num_classes: Classes of the student.

    Raises:
        InputError: The weights do not fit, have other classes than the student, or the networks take other
            channels.
        ToolError: Official weights cannot be reached.
    """

    def __init__(self, spec: ModelSpec, weights: str, student: Preprocess, num_classes: int) -> None:
        self._network, self.source = build_with_weights(spec, weights)
        if self.source.num_classes != num_classes:
            raise InputError(
                f"distilling from {spec.name}: it has {self.source.num_classes} classes, the student "
                f"{num_classes}",
                hint=f"train a teacher of {num_classes} classes: edgekit train {spec.name}",
            )
        own = spec.preprocess
        if own.channel_order is not student.channel_order:
            raise InputError(
                f"distilling from {spec.name}: it takes {own.channel_order.value} pictures, the student "
                f"{student.channel_order.value}"
            )
        self._network.eval()
        for parameter in self._network.parameters():
            parameter.stop_gradient = True

        def row(values: object) -> NDArray[np.float32]:
            return np.array(values, np.float32).reshape(1, -1, 1, 1)[:, : own.channels]

        # pixel = (value * std + mean) / scale for the student, value = (pixel * scale - mean) / std here.
        ratio = own.scale / student.scale
        self._factor = row(student.std) * ratio / row(own.std)
        self._offset = (row(student.mean) * ratio - row(own.mean)) / row(own.std)
        self._same = (own.scale, own.mean, own.std) == (student.scale, student.mean, student.std)

    def logits(self, images: NDArray[np.float32]) -> paddle.Tensor:
        """Return logits [N,classes] of float32[N,channels,height,width] normalised for the student."""
        import paddle

        with paddle.no_grad():
            own = images if self._same else images * self._factor + self._offset
            return self._network(paddle.to_tensor(own)).detach()
