"""Build a model's Paddle network from its card."""

from __future__ import annotations

import ast
import functools
import importlib.util
import pkgutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from edgekit._packages import entry_points
from edgekit.core.spec import ModelSpec
from edgekit.errors import PADDLE_REMEDY, InputError, ToolError
from edgekit.zoo import networks
from edgekit.zoo.registry import how_to_import

if TYPE_CHECKING:
    import paddle

ENTRY_POINTS = "edgekit.networks"
_CONSTANTS = ("HEAD", "HEAD_BESIDE", "SIDE_MULTIPLE", "TORCH_LAYERS")


class Head(NamedTuple):
    """The layer of a network whose width tells the number of classes.

    Attributes:
        name: Name of the layer in the state dict.
        beside: Number of its outputs that are no classes'.
    """

    name: str
    beside: int = 0

    def classes(self, weight: Sequence[int]) -> int:
        """Return the number of classes by the shape of the weight, of a linear layer or of a convolution."""
        return (weight[1] if len(weight) == 2 else weight[0]) - self.beside


def families() -> dict[str, str]:
    """Return modules of network families, by the family name that cards use."""
    own = {each.name: f"{networks.__name__}.{each.name}" for each in pkgutil.iter_modules(networks.__path__)}
    others = {point.name: point.value for point in entry_points(ENTRY_POINTS)}
    return {name: module for name, module in {**others, **own}.items() if _head(module) is not None}


def _head(module: str) -> Head | None:
    """Return a module's HEAD without importing it, and so Paddle; None if missing."""
    constants = _constants(module)
    return Head(constants["HEAD"], constants.get("HEAD_BESIDE", 0)) if "HEAD" in constants else None


@functools.cache
def _constants(module: str) -> dict[str, Any]:
    """Return the constants of a module that this one knows, from its source."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return {}
    return {
        ast.unparse(node.targets[0]): ast.literal_eval(node.value)
        for node in ast.parse(Path(spec.origin).read_bytes()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in _CONSTANTS
    }


@functools.cache
def _module(family: str) -> str | None:
    return families().get(family)


def _network_module(spec: ModelSpec) -> str:
    if spec.network is None:
        raise InputError(f"building {spec.name}: its card has no [network]", hint=how_to_import(spec.name))
    module = _module(spec.network.family)
    if module is None:
        raise InputError(
            f"building {spec.name}: no network family {spec.network.family!r}",
            hint=f"families are {', '.join(families())}",
        )
    return module


def head_of(spec: ModelSpec) -> Head:
    """Return the layer whose width tells a model's number of classes, without importing Paddle.

    Raises:
        InputError: The card names no network, or one that edgekit does not know.
    """
    head = _head(_network_module(spec))
    assert head is not None, "families are modules with a HEAD"
    return head


def side_multiple(spec: ModelSpec) -> int:
    """Return what height and width of a model's input are multiples of. Raises as `head_of`."""
    multiple: int = _constants(_network_module(spec)).get("SIDE_MULTIPLE", 1)
    return multiple


def torch_layers(spec: ModelSpec) -> dict[str, str]:
    """Return a model's names of layers by those of PyTorch's weights, empty where it has none of these.

    Raises as `head_of`.
    """
    names: dict[str, str] = _constants(_network_module(spec)).get("TORCH_LAYERS", {})
    return names


def build_network(spec: ModelSpec, num_classes: int | None = None) -> paddle.nn.Layer:
    """Build a model's network with fresh parameters, in training mode.

    Args:
        spec: Card of the model.
        num_classes: Width of the last layer, where it differs from the card's.

    Returns:
        A network from float32[N,*input_shape] to logits, of a classifier float32[N,num_classes]; the class of
        the network says what others answer.

    Raises:
        InputError: The card names no network, or one that edgekit does not know.
        ToolError: Paddle is not installed.
    """
    module = _network_module(spec)
    require_paddle(f"building {spec.name}")
    assert spec.network is not None, "it names the module"
    network: paddle.nn.Layer = importlib.import_module(module).build(
        spec.network.variant, spec.num_classes if num_classes is None else num_classes
    )
    return network


def require_paddle(action: str) -> None:
    """Raise a ToolError with the command that installs Paddle, where Paddle is missing."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="No ccache found")
            import paddle  # noqa: F401
    except ImportError as error:
        raise ToolError(f"{action}: paddlepaddle cannot be imported ({error})", hint=PADDLE_REMEDY) from error
