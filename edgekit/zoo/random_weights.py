"""Seeded random weights with which a network still distinguishes its inputs.

Freshly initialised networks tend to one output for every input, and then parity and Top-1 agreement say
nothing. So batch norm is calibrated to the statistics of seeded inputs, and the last layer is centred and
scaled so that logits vary from input to input.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import paddle
    from numpy.typing import NDArray

    Images = NDArray[np.float32]

NOISE_IMAGES = 6
PICTURES = 2
PICTURE_CELLS = 7
LOGIT_DEVIATION = 2.0


def randomise(
    network: paddle.nn.Layer, head: str, input_shape: tuple[int, int, int], *, seed: int = 0
) -> None:
    """Overwrite every parameter and statistic of a network; equal seeds give equal values.

    Args:
        network: Network to change; left in evaluation mode.
        head: Name of the network's last linear layer.
        input_shape: Channels, height, width; statistics near the borders depend on the size.
        seed: Any integer.
    """
    import numpy as np
    import paddle

    rng = np.random.default_rng(seed)
    for key, tensor in network.state_dict().items():
        tensor.set_value(_initial(key, tuple(tensor.shape), rng))
    images = paddle.to_tensor(calibration_images(rng, input_shape))
    with paddle.no_grad():
        _calibrate_batch_norms(network, images)
        _calibrate_head(network, getattr(network, head), images)


def _initial(key: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    import numpy as np

    parameter = key.rpartition(".")[2]
    if parameter == "weight" and len(shape) > 1:
        # He et al. 2015: this deviation keeps the variance through rectifiers. Linear weights are [in, out].
        fan_in = shape[0] if len(shape) == 2 else math.prod(shape[1:])
        return (rng.standard_normal(shape) * math.sqrt(2 / fan_in)).astype(np.float32)
    if parameter in ("weight", "_variance"):
        return rng.uniform(0.8, 1.2, shape).astype(np.float32)
    return (rng.standard_normal(shape) * 0.1).astype(np.float32)


def calibration_images(rng: np.random.Generator, input_shape: tuple[int, int, int]) -> Images:
    """Return float32[N,C,H,W] of mean 0 and deviation 1: first noise, then pictures of large even patches."""
    import numpy as np

    noise = rng.standard_normal((NOISE_IMAGES, *input_shape))
    channels, height, width = input_shape
    coarse = rng.standard_normal((PICTURES, channels, PICTURE_CELLS, PICTURE_CELLS))
    rows = np.arange(height) * PICTURE_CELLS // height
    columns = np.arange(width) * PICTURE_CELLS // width
    return np.concatenate([noise, coarse[:, :, rows[:, None], columns]]).astype(np.float32)


def _calibrate_batch_norms(network: paddle.nn.Layer, images: paddle.Tensor) -> None:
    """Set running statistics to those of the images, where each layer sees already normalised inputs."""
    import paddle

    norms = [layer for layer in network.sublayers() if isinstance(layer, paddle.nn.BatchNorm2D)]
    momenta = [layer._momentum for layer in norms]
    network.eval()
    for norm in norms:
        # Training mode computes with the batch's statistics, and momentum 0 stores exactly these.
        norm.train()
        norm._momentum = 0.0
    network(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm._momentum = momentum
    network.eval()


def _calibrate_head(network: paddle.nn.Layer, head: paddle.nn.Linear, images: paddle.Tensor) -> None:
    """Centre the logits over the noise images, and scale them so that softmax saturates for none of them."""
    logits = network(images).numpy()
    centre = logits[:NOISE_IMAGES].mean(axis=0)
    scale = LOGIT_DEVIATION / max(float((logits - centre).std(axis=1).max()), 1e-6)
    head.weight.set_value(head.weight.numpy() * scale)
    head.bias.set_value((head.bias.numpy() - centre) * scale)
