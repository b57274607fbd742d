"""The processes of one run: statistics shared, values summed, equality checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import paddle

# Running statistics are no gradients, so nothing else keeps them equal.
STATISTICS = ("._mean", "._variance")


class Replicas:
    """This process among the processes of the run; the run may have this one only.

    Raises:
        RuntimeError: Paddle cannot reach the others.
    """

    def __init__(self) -> None:
        import paddle.distributed as dist

        self.processes = dist.get_world_size()
        self.rank = dist.get_rank()
        if self.processes > 1:
            dist.init_parallel_env()

    def wrap(self, network: paddle.nn.Layer) -> paddle.nn.Layer:
        """The network as it is trained: with gradients averaged over the processes."""
        import paddle

        return paddle.DataParallel(network) if self.processes > 1 else network

    def total(self, values: Sequence[float]) -> list[float]:
        """The sums of each value over all processes."""
        import paddle
        import paddle.distributed as dist

        if self.processes == 1:
            return list(values)
        sums = paddle.to_tensor(list(values), dtype="float64")
        dist.all_reduce(sums)
        return [float(value) for value in sums.numpy()]

    def share_statistics(self, state: Mapping[str, paddle.Tensor]) -> None:
        """Set batch norm's statistics to their mean over the processes: each has seen its own pictures."""
        import paddle
        import paddle.distributed as dist

        buffers = [tensor for name, tensor in state.items() if name.endswith(STATISTICS)]
        if self.processes == 1 or not buffers:
            return
        flat = paddle.concat([buffer.reshape([-1]) for buffer in buffers])
        dist.all_reduce(flat)
        flat = flat / self.processes
        start = 0
        for buffer in buffers:
            buffer.set_value(flat[start : start + buffer.size].reshape(buffer.shape))
            start += buffer.size

    def spread(self, network: paddle.nn.Layer) -> float:
        """Largest difference of a parameter or statistic from the first process's; 0 where all are equal."""
        import paddle
        import paddle.distributed as dist

        if self.processes == 1:
            return 0.0
        flat = paddle.concat([tensor.detach().reshape([-1]) for tensor in network.state_dict().values()])
        first = flat.clone()
        dist.broadcast(first, src=0)
        widest = (flat - first).abs().max()
        dist.all_reduce(widest, op=dist.ReduceOp.MAX)
        return float(widest)
