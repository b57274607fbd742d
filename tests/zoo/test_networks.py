"""The networks against the published sizes and PaddleClas's parameter names."""

from __future__ import annotations

import inspect
import math

import msgspec
import pytest

from edgekit.core.spec import Network
from edgekit.errors import InputError
from edgekit.zoo.build import build_network, head_of
from edgekit.zoo.registry import find_model, list_models
from tests.conftest import NEEDS_PADDLE

paddle = pytest.importorskip("paddle", reason=NEEDS_PADDLE)


# One model a network; those that differ only in weights have the same size.
SIZED = [
    "PPLCNet_x0_25",
    "PPLCNet_x0_35",
    "PPLCNet_x0_5",
    "PPLCNet_x0_75",
    "PPLCNet_x1_0",
    "PPLCNet_x1_5",
    "PPLCNet_x2_0",
    "PPLCNet_x2_5",
    "PPHGNet_tiny",
    "PPHGNet_small",
    pytest.param("PPHGNet_base_ssld", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("name", SIZED)
def test_parameters_and_flops_agree_with_the_published_ones(name: str) -> None:
    spec = find_model(name)
    network = build_network(spec)
    params = sum(math.prod(parameter.shape) for parameter in network.parameters())
    flops = paddle.flops(network, [1, *spec.input_shape])
    assert spec.published is not None
    assert params / 1e6 == pytest.approx(spec.published.params_m, rel=0.01)
    assert flops / 1e6 == pytest.approx(spec.published.flops_m, rel=0.01)


@pytest.mark.slow
def test_every_card_builds_a_network_with_its_number_of_classes() -> None:
    built = set()
    for spec in list_models():
        if spec.network is None or (spec.network, spec.num_classes) in built:
            continue
        built.add((spec.network, spec.num_classes))
        with paddle.LazyGuard():
            network = build_network(spec)
        weight = network.state_dict()[f"{head_of(spec).name}.weight"]
        assert head_of(spec).classes(weight.shape) == spec.num_classes


def test_pp_lcnet_keys_are_those_of_paddleclas() -> None:
    keys = list(build_network(find_model("PPLCNet_x0_25")).state_dict())
    assert keys[:5] == [
        "conv1.conv.weight",
        "conv1.bn.weight",
        "conv1.bn.bias",
        "conv1.bn._mean",
        "conv1.bn._variance",
    ]
    assert len(keys) == 146
    assert {"blocks2.0.dw_conv.conv.weight", "blocks5.5.pw_conv.bn._variance"} <= set(keys)
    assert [key for key in keys if ".se." in key][:4] == [
        "blocks6.0.se.conv1.weight",
        "blocks6.0.se.conv1.bias",
        "blocks6.0.se.conv2.weight",
        "blocks6.0.se.conv2.bias",
    ]
    assert keys[-3:] == ["last_conv.weight", "fc.weight", "fc.bias"]


def test_pp_hgnet_keys_are_those_of_paddleclas() -> None:
    with paddle.LazyGuard():
        keys = list(build_network(find_model("PPHGNet_tiny")).state_dict())
    assert keys[0] == "stem.0.conv.weight"
    assert {
        "stages.1.downsample.conv.weight",
        "stages.2.blocks.1.layers.4.bn._mean",
        "stages.3.blocks.0.aggregation_conv.conv.weight",
        "stages.0.blocks.0.att.conv.bias",
    } <= set(keys)
    assert not any(key.startswith("stages.0.downsample") for key in keys)
    assert keys[-3:] == ["last_conv.weight", "fc.weight", "fc.bias"]
    assert len(keys) == 193


@pytest.mark.parametrize(
    ("name", "factor"), [("PPLCNet_x0_25", 0.8), ("PPHGNet_tiny", 1.0), ("PPHGNet_base_ssld", 0.8)]
)
def test_dropout_scales_features_at_inference(name: str, factor: float) -> None:
    network = build_network(find_model(name))
    network.eval()
    assert network.dropout(paddle.ones([1, 1])).item() == pytest.approx(factor)


@pytest.mark.parametrize("name", ["PPLCNet_x0_25", "PPHGNet_tiny"])
def test_forward_suits_to_static(name: str) -> None:
    # paddle.jit.to_static wants the first parameter to be called `self`.
    assert next(iter(inspect.signature(type(build_network(find_model(name))).forward).parameters)) == "self"


def test_an_unknown_family_or_variant_is_refused() -> None:
    spec = find_model("PPLCNet_x0_25")
    for network, message in (
        (Network(family="resnest", variant="50"), "resnest"),
        (Network(family="pplcnet", variant="x9"), "x9"),
        (None, "no .network."),
    ):
        with pytest.raises(InputError, match=message) as caught:
            build_network(msgspec.structs.replace(spec, network=network))
        assert caught.value.hint
