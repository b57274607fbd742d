"""The moving average of a network's weights (Polyak and Juditsky, 1992); the best one is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import paddle

    State = dict[str, paddle.Tensor]


class MovingAverage:
    """Parameters and batch norm's statistics averaged exponentially, as PaddleClas's EMA does.

    Args:
        network: Whose weights are followed.
        decay: Share of the old average after many steps; the first steps average over fewer ((1 + n) /
            (10 + n), as TensorFlow's
            ExponentialMovingAverage with num_updates).
    """

    def __init__(self, network: paddle.nn.Layer, decay: float) -> None:
        self._network = network
        self._decay = decay
        self.updates = 0
        self._parameters = dict(network.named_parameters())
        self.averages: State = {name: one.detach().clone() for name, one in self._parameters.items()}

    def update(self) -> None:
        """Take in the weights of one more step."""
        import paddle

        self.updates += 1
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        with paddle.no_grad():
            for name, parameter in self._parameters.items():
                average = self.averages[name]
                average.scale_(decay)
                average.add_(parameter * (1 - decay))

    def state(self) -> State:
        """The network's state dict with averaged parameters."""
        state: State = dict(self._network.state_dict())
        state.update(self.averages)
        return state

    def restore(self, averages: dict[str, Any], updates: int) -> None:
        """Go on from a checkpoint."""
        self.updates = updates
        for name, value in averages.items():
            self.averages[name].set_value(value)
