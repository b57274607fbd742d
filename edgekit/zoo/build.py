"""From a model card to its network in Paddle."""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING

from edgekit.core.spec import ModelSpec
from edgekit.errors import InputError, ToolError
from edgekit.zoo.registry import how_to_import

if TYPE_CHECKING:
    import paddle

# A card's `network.family` and the module that builds it: `build(variant, num_classes)`.
FAMILIES: dict[str, str] = {
    "pplcnet": "edgekit.zoo.networks.pplcnet",
    "pphgnet": "edgekit.zoo.networks.pphgnet",
    "mobilenetv1": "edgekit.zoo.networks.mobilenetv1",
    "mobilenetv2": "edgekit.zoo.networks.mobilenetv2",
    "mobilenetv3": "edgekit.zoo.networks.mobilenetv3",
    "shufflenetv2": "edgekit.zoo.networks.shufflenetv2",
    "resnet": "edgekit.zoo.networks.resnet",
    "efficientnet": "edgekit.zoo.networks.efficientnet",
}


def build_network(spec: ModelSpec, num_classes: int | None = None) -> paddle.nn.Layer:
    """Build a model's network with fresh parameters, in training mode.

    Args:
        spec: The model's card.
        num_classes: Width of the last layer where it is not the card's.

    Returns:
        A network from float32[N,*input_shape] to logits float32[N,num_classes].

    Raises:
        InputError: The card has no network, or one that edgekit does not know.
        ToolError: Paddle is not installed.
    """
    if spec.network is None:
        raise InputError(
            f"building {spec.name}: its card has no [network]",
            hint=how_to_import(spec.name),
        )
    family = spec.network.family
    if family not in FAMILIES:
        raise InputError(
            f"building {spec.name}: no network family {family!r}",
            hint=f"families are {', '.join(FAMILIES)}",
        )
    require_paddle(f"building {spec.name}")
    network: paddle.nn.Layer = importlib.import_module(FAMILIES[family]).build(
        spec.network.variant, spec.num_classes if num_classes is None else num_classes
    )
    return network


def require_paddle(action: str) -> None:
    """Raise the ToolError that says how to get Paddle, where it is missing."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="No ccache found")
            import paddle  # noqa: F401
    except ImportError as error:
        raise ToolError(
            f"{action}: paddlepaddle cannot be imported ({error})", hint="pip install 'edgekit[paddle]'"
        ) from error
