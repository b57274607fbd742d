"""Start of a run: its preprocessing, its network with first weights, its device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edgekit.core.preprocess import Preprocess
from edgekit.core.spec import ModelSpec
from edgekit.errors import InputError, ToolError
from edgekit.training.settings import TrainSettings
from edgekit.zoo.build import build_network, head_of
from edgekit.zoo.weights import RANDOM, build_with_weights

if TYPE_CHECKING:
    import paddle


def model_preprocess(spec: ModelSpec, settings: TrainSettings) -> Preprocess:
    """Return the preprocessing of the settings or of the card, in proportion for another input size.

    Raises:
        InputError: The size of a model whose card lists its steps was to be changed.
    """
    own, input_size = settings.preprocess or spec.preprocess, settings.input_size
    if input_size is None or (input_size, input_size) == own.size:
        return own
    if own.steps:
        raise InputError(
            f"training {spec.name} at {input_size}x{input_size}: its preprocessing is a list of steps that "
            f"end in {own.size[1]}x{own.size[0]}",
            hint="leave --input-size out",
        )
    short = None if own.resize_short is None else round(own.resize_short * input_size / own.crop_size)
    return msgspec.structs.replace(own, crop_size=input_size, resize_short=short)


def starting_network(spec: ModelSpec, settings: TrainSettings) -> tuple[paddle.nn.Layer, str]:
    """The network with its first weights, in training mode, and where they come from.

    A last layer of another width than `num_classes` is begun anew; everything else must fit.
    """
    network = build_network(spec, settings.num_classes)
    network.train()
    if settings.freeze:
        head = f"{head_of(spec).name}."
        for name, parameter in network.named_parameters():
            parameter.stop_gradient = not name.startswith(head)
    if settings.weights == RANDOM:
        return network, f"random (seed {settings.seed})"
    donor, source = build_with_weights(spec, settings.weights)
    state = dict(donor.state_dict())
    kept = source.source
    if source.num_classes != settings.num_classes:
        state = {
            name: tensor for name, tensor in state.items() if not name.startswith(f"{head_of(spec).name}.")
        }
        kept += (
            f", its last layer begun anew ({settings.num_classes} classes instead of {source.num_classes})"
        )
    for name, tensor in network.state_dict().items():
        if name in state:
            tensor.set_value(state[name])
    return network, kept


def keep_statistics(network: paddle.nn.Layer) -> None:
    """Let batch norm use the statistics that it has, and not change them."""
    import paddle

    for layer in network.sublayers():
        if isinstance(layer, paddle.nn.BatchNorm2D):
            layer.eval()


def use_device(device: str) -> None:
    """Compute on this device from now on. Raises ToolError where the GPU that was asked for is not there."""
    import paddle

    if device == "gpu" and not paddle.is_compiled_with_cuda():
        raise ToolError(
            f"training on a GPU: paddlepaddle {paddle.__version__} is the CPU build",
            hint="install the wheel paddlepaddle-gpu in its place, or --device cpu",
        )
    try:
        paddle.set_device(device)
    except (ValueError, OSError, RuntimeError) as error:
        raise ToolError(
            f"training on a GPU: {str(error).strip().splitlines()[-1]}", hint="nvidia-smi; or --device cpu"
        ) from error
