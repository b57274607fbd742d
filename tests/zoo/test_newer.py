"""The newer networks of PaddleClas: figures, sizes, parameter names, and what exporting fuses."""

from __future__ import annotations

import io
import math
from contextlib import redirect_stdout
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgekit.convert.importing.attributes import ATTRIBUTES
from edgekit.convert.importing.configuration import of_official_archive
from edgekit.convert.importing.place import Place
from edgekit.core.spec import Platform, Postprocess
from edgekit.errors import InputError
from edgekit.vision.labels import load_labels
from edgekit.zoo.build import build_network
from edgekit.zoo.pretrained import weights_path
from edgekit.zoo.registry import find_model
from edgekit.zoo.weights import build_with_weights
from tests.conftest import NEEDS_PADDLE

paddle = pytest.importorskip("paddle", reason=NEEDS_PADDLE)

# PaddleClas, docs/zh_CN/models/ImageNet1k/PP-HGNetV2.md, section 1.3: Top-1 | Top-5 | Latency(ms)
PP_HGNETV2 = """
PPHGNetV2_B0     | 77.77 | 93.91 | 0.52
PPHGNetV2_B1     | 79.18 | 94.57 | 0.58
PPHGNetV2_B2     | 81.74 | 95.88 | 0.95
PPHGNetV2_B3     | 82.98 | 96.43 | 1.18
PPHGNetV2_B4     | 83.57 | 96.72 | 1.46
PPHGNetV2_B5     | 84.75 | 97.32 | 2.84
PPHGNetV2_B6     | 86.30 | 97.84 | 5.29
"""
# PaddleClas, docs/en/models/PP-LCNetV2_en.md, section 1.3: Params(M) | FLOPs(M) | Top-1 | Top-5 | Latency(ms)
PP_LCNETV2 = """
PPLCNetV2_base | 6.6 | 604 | 77.04 | 93.27 | 4.32
PPLCNetV2_base_ssld | 6.6 | 604 | 80.07 | 94.87 | 4.32
"""


def rows(table: str) -> dict[str, list[float]]:
    cells = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]
    return {name: [float(value) for value in values] for name, *values in cells}


def millions(network: paddle.nn.Layer) -> float:
    return sum(math.prod(one.shape) for one in network.parameters()) / 1e6


def flops_m(network: paddle.nn.Layer) -> float:
    with redirect_stdout(io.StringIO()):
        return float(paddle.flops(network, [1, 3, 224, 224])) / 1e6


@pytest.mark.parametrize("name", rows(PP_HGNETV2))
def test_cards_carry_the_published_pp_hgnetv2_table(name: str) -> None:
    published = find_model(name).published
    assert published is not None
    top1, top5, latency_ms = rows(PP_HGNETV2)[name]
    assert (published.top1, published.top5) == (top1, top5)
    assert [(one.platform, one.latency_ms) for one in published.latencies] == [(Platform.V100, latency_ms)]


@pytest.mark.parametrize("name", rows(PP_LCNETV2))
def test_cards_carry_the_published_pp_lcnetv2_table(name: str) -> None:
    published = find_model(name).published
    assert published is not None
    [latency] = published.latencies
    figures = [published.params_m, published.flops_m, published.top1, published.top5, latency.latency_ms]
    assert figures == rows(PP_LCNETV2)[name]


def test_fused_blocks_of_pp_lcnetv2_compute_the_same_and_have_the_published_size() -> None:
    network = build_network(find_model("PPLCNetV2_base"))
    paddle.seed(1)
    network.eval()
    for norm in network.sublayers():
        if isinstance(norm, paddle.nn.BatchNorm2D):
            norm.weight.set_value(paddle.uniform(norm.weight.shape, min=0.5, max=1.5))
            norm.bias.set_value(paddle.uniform(norm.bias.shape, min=0.0, max=1.0))
            norm._mean.set_value(paddle.uniform(norm._mean.shape, min=-0.5, max=0.5))
            norm._variance.set_value(paddle.uniform(norm._variance.shape, min=0.5, max=1.5))
    with paddle.no_grad():
        for block in [*network.stages[2], *network.stages[3]]:
            x = paddle.rand([1, block.dw_conv.weight.shape[0], 14, 14])
            before = block(x)
            block.fuse()
            assert float((block(x) - before).abs().max()) < 1e-5 * float(before.max())
    assert millions(network) == pytest.approx(6.6, abs=0.05)
    assert flops_m(network) == pytest.approx(604, abs=0.6)


@pytest.mark.parametrize(
    ("name", "count", "keys"),
    [
        (
            "PPLCNetV2_small",
            216,
            [
                "stem.1.dw_conv.bn._mean",
                "stages.2.0.dw_conv_list.1.conv.weight",
                "stages.2.0.dw_conv.bias",
                "stages.2.3.se.conv2.bias",
                "stages.2.1.pw_conv_2.bn.weight",
                "stages.3.1.pw_conv.conv.weight",
                "last_conv.weight",
            ],
        ),
        (
            "PPHGNetV2_B0",
            275,
            [
                "stem.stem2b.lab.scale",
                "stages.0.blocks.0.layers.2.bn._variance",
                "stages.1.downsample.conv.weight",
                "stages.2.blocks.1.layers.0.conv2.lab.bias",
                "stages.3.blocks.0.aggregation_excitation_conv.conv.weight",
                "lab.bias",
            ],
        ),
        (
            "MobileNetV4_conv_small",
            232,
            [
                "conv_stem.conv.weight",
                "blocks.1.bn._mean",
                "blocks.4.dw_start.conv.weight",
                "blocks.15.dw_mid.bn.bias",
                "blocks.16.conv.weight",
                "conv_head.bn._variance",
                "classifier.bias",
            ],
        ),
        ("MobileNetV4_conv_large", 512, ["blocks.0.conv_exp.conv.weight", "blocks.0.conv_pwl.bn.weight"]),
        (
            "Res2Net200_vd_26w_4s_ssld",
            1687,
            [
                "conv1_3._batch_norm._mean",
                "bb_0_0.res2a_branch2b_3._conv.weight",
                "bb_1_11.res3l_branch2b_1._conv.weight",
                "bb_2_47.res4b47_branch2b_2._batch_norm.bias",
                "bb_3_0.short._conv.weight",
                "out.weight",
            ],
        ),
        (
            "ResNeXt101_32x48d_wsl",
            522,
            ["_conv_stem._bn.weight", "_conv3_22._conv1._conv.weight", "_conv4_0._short._conv._bn._mean"],
        ),
        (
            "SwinTransformer_tiny_patch4_window7_224",
            185,
            [
                "patch_embed.proj.bias",
                "layers.2.blocks.5.attn.relative_position_bias_table",
                "layers.2.blocks.5.attn.relative_position_index",
                "layers.0.downsample.reduction.weight",
                "head.weight",
            ],
        ),
        ("PPHGNetV2_B4", 403, ["stem.stem4.conv.weight", "stages.2.blocks.2.layers.5.conv1.bn._mean"]),
    ],
)
def test_keys_are_those_of_paddleclas(name: str, count: int, keys: list[str]) -> None:
    with paddle.LazyGuard():
        found = list(build_network(find_model(name)).state_dict())
    assert set(keys) <= set(found)
    assert len(found) == count


@pytest.mark.parametrize(
    "name",
    [
        "PPLCNetV2_small",
        "PPHGNetV2_B0",
        "MobileNetV4_conv_small",
        "Res2Net200_vd_26w_4s_ssld",
        "ResNeXt101_32x48d_wsl",
        "SwinTransformer_tiny_patch4_window7_224",
    ],
)
def test_an_unknown_variant_is_refused_with_those_that_there_are(name: str) -> None:
    spec = find_model(name)
    broken = msgspec.structs.replace(spec, network=msgspec.structs.replace(spec.network, variant="x9"))
    with pytest.raises(InputError, match="x9") as caught:
        build_network(broken)
    assert caught.value.hint is not None and spec.network is not None
    assert spec.network.variant in caught.value.hint


@pytest.mark.parametrize(("size", "params_m"), [("small", 3.77), ("medium", 9.72), ("large", 32.59)])
def test_mobilenetv4_has_the_published_parameters(size: str, params_m: float) -> None:
    spec = find_model(f"MobileNetV4_conv_{size}")
    with paddle.LazyGuard():
        network = build_network(spec)
    trained = [one for one in network.parameters() if not one.stop_gradient]
    assert sum(math.prod(one.shape) for one in trained) / 1e6 == pytest.approx(params_m, abs=0.006)
    assert spec.published is not None
    assert spec.published.params_m == params_m


def test_weights_of_swin_may_hold_or_lack_what_the_network_computes(tmp_path: Path) -> None:
    spec = find_model("SwinTransformer_tiny_patch4_window7_224")
    state = build_network(spec).state_dict()
    for key in [key for key in state if key.endswith("relative_position_index")]:
        del state[key]
    state["layers.0.blocks.1.attn_mask"] = paddle.zeros([64, 49, 49])
    paddle.save(state, str(tmp_path / "own.pdparams"))
    network, _ = build_with_weights(spec, str(tmp_path / "own.pdparams"))
    loaded = network.state_dict()
    assert (loaded["head.weight"] == state["head.weight"]).all().item()
    index = loaded["layers.0.blocks.1.attn.relative_position_index"]
    # Of 7x7 pixels the first is 6 rows above and 6 columns left of the last one.
    assert (index[0, 0].item(), index[0, 48].item(), index[48, 0].item()) == (84, 0, 168)


@pytest.mark.parametrize(
    ("name", "shape", "task", "answer"),
    [
        ("person_exists", (3, 224, 224), "classification", "threshold"),
        ("car_exists", (3, 224, 224), "classification", "threshold"),
        ("safety_helmet", (3, 224, 224), "classification", "threshold"),
        ("traffic_sign", (3, 224, 224), "classification", "topk"),
        ("text_image_orientation", (3, 224, 224), "classification", "topk"),
        ("textline_orientation", (3, 80, 160), "classification", "topk"),
        ("language_classification", (3, 80, 160), "classification", "topk"),
        ("person_attribute", (3, 256, 192), "multilabel", "attributes"),
        ("vehicle_attribute", (3, 192, 256), "multilabel", "attributes"),
        ("table_attribute", (3, 224, 224), "multilabel", "attributes"),
    ],
)
def test_a_card_of_pulc_prepares_pictures_and_answers(
    name: str, shape: tuple[int, int, int], task: str, answer: str
) -> None:
    spec = find_model(name)
    assert (spec.input_shape, spec.task) == (shape, task)
    assert spec.preprocess.size == shape[1:]
    rule = msgspec.convert(spec.postprocess, Postprocess)
    assert rule.kind.value == answer
    if rule.attributes is not None:
        assert len(rule.thresholds) == spec.num_classes
        configured = ATTRIBUTES[f"{name.removesuffix('_attribute').title()}Attribute"]({}, Place(Path("own")))
        assert rule == configured
    assert len(load_labels(spec.labels, spec.num_classes)) == spec.num_classes
    assert spec.weights.inference_url is not None
    assert spec.weights.inference_url.endswith(f"/{name}_infer.tar")
    # The official archive is imported with what the card says of it.
    assert of_official_archive(Path(f"{name}_infer.tar")).postprocess == rule
    with pytest.raises(InputError, match="names no official ones") as caught:
        weights_path(spec)
    assert caught.value.hint is not None
    assert f"edgekit fetch {name}" in caught.value.hint and "--weights random" in caught.value.hint


@pytest.mark.parametrize("stride", [1, 2])
def test_blocks_of_res2net_compute_the_same_when_they_are_traced(stride: int) -> None:
    """Export translates the source of `forward`, which takes no `zip` with `strict`."""
    from edgekit.zoo.networks.res2net import Block

    block = Block(64, 64, 64 * stride, stride=stride, name="res2a")
    block.eval()
    images = paddle.randn([1, 64, 8, 8])
    expected = block(images).numpy()
    found = paddle.jit.to_static(block, full_graph=True)(images).numpy()
    assert np.abs(found - expected).max() < 1e-5
