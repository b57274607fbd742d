"""Seeded random weights with which a network still distinguishes its inputs.

Freshly initialised networks tend to one output for every input, and then parity and Top-1 agreement say
nothing. So batch norm is calibrated to the statistics of seeded inputs, and the last layer is centred and
scaled so that logits vary from input to input.
"""

from __future__ import annotations

import functools
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
# A segmenter's hundreds of channels at 512x1024 would take minutes; networks halve sides five times.
MOST_PIXELS, MULTIPLE = 320 * 320, 32
LOGIT_DEVIATION = 2.0
# A detector's scores may be roots of products, which magnify what engines differ in below a score of 1e-6.
SCORE_DEVIATION = 1.0
# Fifty layers in a row magnify rounding, each by the curvature of its activation relative to its slope. About
# this bias the slope of hard swish is twice that about 0: a detector in float32 then differs from float64 by
# 3e-6 of an output's range, otherwise by 3e-4 at 320x320 and 1e-2 at 416x416, where the statistics are not
# calibrated. With rectifiers, an error of PP-LCNetV2's input grows 8 times, about 0 118 to 519 times.
STEADY_BIAS = 1.0
# Of a detector's scores, how many of a thousand classes and places are above one half.
FOUND_PER_MILLE = 0.5


def randomise(
    network: paddle.nn.Layer, head: str, input_shape: tuple[int, int, int], *, seed: int = 0
) -> None:
    """Overwrite every parameter and statistic of a network; equal seeds give equal values.

    Args:
        network: Network to change; left in evaluation mode.
        head: Name of the network's last layer; a detector names its own.
        input_shape: Channels, height, width; statistics near the borders depend on the size.
        seed: Any integer.
    """
    import numpy as np
    import paddle

    rng = np.random.default_rng(seed)
    unused = getattr(network, "training_keys", ())
    for key, tensor in network.state_dict().items():
        if key in unused:
            continue
        tensor.set_value(_initial(key, tuple(tensor.shape), rng))
    is_detector = hasattr(network, "score_layers")
    if is_detector or getattr(network, "magnifies_rounding", False):
        for norm in _batch_norms(network):
            norm.bias.set_value(norm.bias + STEADY_BIAS)
    images = paddle.to_tensor(calibration_images(rng, _calibration_shape(input_shape)))
    with paddle.no_grad():
        _calibrate_batch_norms(network, images)
        if is_detector:
            _calibrate_detector(network, images)
        else:
            _calibrate_head(network, functools.reduce(getattr, head.split("."), network), images)


def _initial(key: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    import numpy as np

    parameter = key.rpartition(".")[2]
    if parameter == "weight" and len(shape) > 1:
        # He et al. 2015: this deviation keeps the variance through rectifiers. Linear weights are [in, out].
        fan_in = shape[0] if len(shape) == 2 else math.prod(shape[1:])
        return (rng.standard_normal(shape) * math.sqrt(2 / fan_in)).astype(np.float32)
    if parameter in ("weight", "_variance", "scale"):
        return rng.uniform(0.8, 1.2, shape).astype(np.float32)
    return (rng.standard_normal(shape) * 0.1).astype(np.float32)


def _calibration_shape(input_shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the input's shape, of a large one a smaller of about the same aspect."""
    channels, height, width = input_shape
    shrink = math.sqrt(height * width / MOST_PIXELS)
    if shrink <= 1:
        return input_shape
    height, width = (max(MULTIPLE, round(side / shrink / MULTIPLE) * MULTIPLE) for side in (height, width))
    return channels, height, width


def calibration_images(rng: np.random.Generator, input_shape: tuple[int, int, int]) -> Images:
    """Return float32[N,C,H,W] of mean 0 and deviation 1: first noise, then pictures of large even patches."""
    import numpy as np

    noise = rng.standard_normal((NOISE_IMAGES, *input_shape))
    channels, height, width = input_shape
    coarse = rng.standard_normal((PICTURES, channels, PICTURE_CELLS, PICTURE_CELLS))
    rows = np.arange(height) * PICTURE_CELLS // height
    columns = np.arange(width) * PICTURE_CELLS // width
    return np.concatenate([noise, coarse[:, :, rows[:, None], columns]]).astype(np.float32)


def _batch_norms(network: paddle.nn.Layer) -> list[paddle.nn.BatchNorm2D]:
    import paddle

    return [layer for layer in network.sublayers() if isinstance(layer, paddle.nn.BatchNorm2D)]


def _calibrate_batch_norms(network: paddle.nn.Layer, images: paddle.Tensor) -> None:
    """Set running statistics to those of the images, where each layer sees already normalised inputs."""
    norms = _batch_norms(network)
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


def _calibrate_head(network: paddle.nn.Layer, head: paddle.nn.Layer, images: paddle.Tensor) -> None:
    """Centre the logits over the noise images, and scale them so that softmax saturates for none of them."""
    logits = network(images).numpy()
    pixels = tuple(range(2, logits.ndim))
    centre = logits[:NOISE_IMAGES].mean(axis=(0, *pixels), keepdims=True)[0]
    scale = LOGIT_DEVIATION / max(float((logits - centre).std(axis=1).max()), 1e-6)
    head.weight.set_value(head.weight.numpy() * scale)
    head.bias.set_value((head.bias.numpy() - centre.reshape(-1)) * scale)


def _calibrate_detector(network: paddle.nn.Layer, images: paddle.Tensor) -> None:
    """Scale and shift the logits of the classes so that few of them are above 0, equally many a stride."""
    import numpy as np

    layers, outputs = network.score_layers(), []
    hooks = [
        layer.register_forward_post_hook(lambda _layer, _inputs, output: outputs.append(output.numpy()))
        for layer in layers
    ]
    classes = network(images)[0].shape[-1]
    for hook in hooks:
        hook.remove()
    for layer, output in zip(layers, outputs, strict=True):
        logits, weight, bias = output[:, :classes], layer.weight.numpy(), layer.bias.numpy()
        scale = SCORE_DEVIATION / max(float(logits.std()), 1e-6)
        weight[:classes] *= scale
        bias[:classes] = scale * (bias[:classes] - np.quantile(logits, 1 - FOUND_PER_MILLE / 1000))
        layer.weight.set_value(weight)
        layer.bias.set_value(bias)
