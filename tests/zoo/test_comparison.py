"""The networks of the published comparisons: figures, sizes, and PaddleClas's parameter names."""

from __future__ import annotations

import io
import math
from contextlib import redirect_stdout

import pytest

from edgekit.core.spec import Platform
from edgekit.errors import InputError
from edgekit.vision.labels import load_labels
from edgekit.zoo.build import build_network
from edgekit.zoo.registry import find_model
from edgekit.zoo.weights import build_with_weights
from tests.conftest import NEEDS_PADDLE

paddle = pytest.importorskip("paddle", reason=NEEDS_PADDLE)

# PaddleClas, docs/en/models/PP-LCNet_en.md, section 1.3.1: Params(M) | FLOPs(M) | Top-1 | Top-5 | Latency(ms)
CPU = """
MobileNetV2_x0_25  | 1.5 | 34  | 53.21 | 76.52 | 2.47
MobileNetV3_small_x0_35  | 1.7 | 15  | 53.03 | 76.37 | 3.02
ShuffleNetV2_x0_33  | 0.6 | 24  | 53.73 | 77.05 | 4.30
MobileNetV2_x0_5  | 2.0 | 99  | 65.03 | 85.72 | 2.85
MobileNetV3_large_x0_35  | 2.1 | 41  | 64.32 | 85.46 | 3.68
ShuffleNetV2_x0_5  | 1.4 | 43  | 60.32 | 82.26 | 4.65
MobileNetV1 | 4.3 | 578  | 70.99 | 89.68 | 3.38
MobileNetV2 | 3.5 | 327  | 72.15 | 90.65 | 4.26
MobileNetV3_small_x1_25  | 3.6 | 100  | 70.67 | 89.51 | 3.95
"""
# PaddleClas, docs/en/models/PP-HGNet_en.md, section 1.3: Top-1 | Top-5 | Latency(ms)
GPU = """
ResNet34                 | 74.57      | 92.14       | 1.97
ResNet34_vd              | 75.98      | 92.98       | 2.00
EfficientNetB0           | 77.38      | 93.31       | 1.96
ResNet50                 | 76.50      | 93.00       | 2.54
ResNet50_vd              | 79.12      | 94.44       | 2.60
ResNet50_rsb             | 80.40      |         |     2.54
EfficientNetB1           | 79.15      | 94.41       | 2.88
SwinTransformer_tiny_patch4_window7_224     | 81.2      | 95.5       | 6.59
Res2Net200_vd_26w_4s_ssld| 85.13      | 97.42       | 11.45
ResNeXt101_32x48d_wsl    | 85.37      | 97.69       | 55.07
SwinTransformer_base_patch4_window7_224     | 85.2       | 97.5        | 13.53
"""
# TensorFlow TPU models, models/official/efficientnet/lite/README.md: params(M) | MAdds(M) | FP32 accuracy
LITE = """
EfficientNetLite0 | 4.7 | 407 | 75.1
EfficientNetLite1 | 5.4 | 631 | 76.7
EfficientNetLite2 | 6.1 | 899 | 77.6
"""
# Parameters and multiply-accumulates as PaddleClas's model list gives them: to the last digit printed.
SIZES = {
    "MobileNetV1": (4.25, 578.88),
    "MobileNetV2_x0_25": (1.53, 34.18),
    "MobileNetV2_x0_5": (1.98, 99.48),
    "MobileNetV2": (3.54, 327.84),
    "MobileNetV3_small_x0_35": (1.67, 14.56),
    "MobileNetV3_small_x1_25": (3.64, 100.07),
    "MobileNetV3_large_x0_35": (2.11, 40.90),
    "ShuffleNetV2_x0_33": (0.65, 24.04),
    "ShuffleNetV2_x0_5": (1.37, 42.58),
}
LARGE_SIZES = {
    "ResNet34": (21.81, 3680),
    "ResNet34_vd": (21.84, 3930),
    "ResNet50": (25.61, 4110),
    "ResNet50_vd": (25.63, 4350),
    "EfficientNetB0": (5.33, 400),
    "EfficientNetB1": (7.86, 710),
    "SwinTransformer_tiny_patch4_window7_224": (28.29, 4350),
}


def rows(table: str) -> dict[str, list[float | None]]:
    cells = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]
    return {name: [float(value) if value else None for value in values] for name, *values in cells}


def size(name: str) -> tuple[float, float]:
    network = build_network(find_model(name))
    with redirect_stdout(io.StringIO()):
        flops = paddle.flops(network, [1, *find_model(name).input_shape])
    return sum(math.prod(one.shape) for one in network.parameters()) / 1e6, flops / 1e6


@pytest.mark.parametrize("name", rows(CPU))
def test_cards_carry_the_published_cpu_comparison(name: str) -> None:
    published = find_model(name).published
    assert published is not None
    params_m, flops_m, top1, top5, latency_ms = rows(CPU)[name]
    # The cards have the model list's further digits; the comparison rounds or cuts them.
    assert published.params_m == pytest.approx(params_m, abs=0.051)
    assert published.flops_m == pytest.approx(flops_m, abs=0.9)
    assert (published.top1, published.top5) == (top1, top5)
    assert [(one.platform, one.latency_ms) for one in published.latencies] == [
        (Platform.INTEL_CPU, latency_ms)
    ]


@pytest.mark.parametrize("name", rows(GPU))
def test_cards_carry_the_published_gpu_comparison(name: str) -> None:
    published = find_model(name).published
    assert published is not None
    assert [published.top1, published.top5] == rows(GPU)[name][:2]
    latency_ms = rows(GPU)[name][2]
    assert [(one.platform, one.latency_ms) for one in published.latencies] == [(Platform.V100, latency_ms)]


@pytest.mark.parametrize("name", [*rows(CPU), *rows(GPU)])
def test_a_card_says_where_its_model_comes_from(name: str) -> None:
    spec = find_model(name)
    assert len(load_labels(spec.labels, spec.num_classes)) == 1000
    assert spec.preprocess.crop_size == spec.input_shape[1]
    assert spec.weights.inference_url is not None
    assert spec.weights.inference_url.endswith(f"/{name}_infer.tar")
    pretrained = spec.weights.pretrained_url
    # Of ResNet50_rsb the network is known but no state dict is published.
    assert (pretrained is None) == (name == "ResNet50_rsb")
    # The table's Swin Transformer base was trained on ImageNet-22k first.
    weights = f"{name}_22kto1k" if name.startswith("SwinTransformer_base") else name
    assert pretrained is None or pretrained.endswith(f"/{weights}_pretrained.pdparams")


@pytest.mark.parametrize("name", SIZES)
def test_parameters_and_flops_are_the_published_ones_to_the_last_digit(name: str) -> None:
    params_m, flops_m = size(name)
    assert params_m == pytest.approx(SIZES[name][0], abs=0.0051)
    assert flops_m == pytest.approx(SIZES[name][1], abs=0.0051)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE_SIZES)
def test_the_large_networks_have_the_published_sizes(name: str) -> None:
    params_m, flops_m = size(name)
    assert params_m == pytest.approx(LARGE_SIZES[name][0], abs=0.01)
    assert flops_m == pytest.approx(LARGE_SIZES[name][1], abs=5)


@pytest.mark.parametrize(
    ("name", "count", "keys"),
    [
        ("MobileNetV1", 137, ["conv.conv.weight", "blocks.12.pointwise_conv.bn._variance", "fc.weight"]),
        (
            "MobileNetV2",
            267,
            [
                "conv1._conv.weight",
                "conv2._first_block._expand_conv._conv.weight",
                "conv3.conv3_2._bottleneck_conv._batch_norm._mean",
                "conv9._batch_norm.bias",
                "out.weight",
            ],
        ),
        (
            "MobileNetV3_small_x0_35",
            214,
            [
                "conv.bn.weight",
                "blocks.0.mid_se.conv1.bias",
                "last_second_conv.conv.weight",
                "last_conv.weight",
            ],
        ),
        (
            "ShuffleNetV2_x0_33",
            282,
            [
                "_conv1._conv.weight",
                "2_1._conv_linear_1._batch_norm.weight",
                "4_4._conv_dw._conv.weight",
                "_last_conv._conv.weight",
                "_fc.bias",
            ],
        ),
        ("ResNet50_vd", 277, ["stem.2.bn._mean", "blocks.0.short.conv.weight", "blocks.15.conv2.bn.bias"]),
        (
            "EfficientNetB0",
            311,
            [
                "_ef._conv_stem._conv._conv._conv.weight",
                "_ef._blocks.1.._ecn._conv._bn._mean",
                "_ef.block.2.._se._conv2._conv.bias",
                "_conv._bn._variance",
                "_fc.weight",
            ],
        ),
    ],
)
def test_keys_are_those_of_paddleclas(name: str, count: int, keys: list[str]) -> None:
    with paddle.LazyGuard():
        found = list(build_network(find_model(name)).state_dict())
    assert set(keys) <= set(found)
    assert len(found) == count


@pytest.mark.parametrize("name", ["MobileNetV2_x0_25", "ShuffleNetV2_x0_33"])
def test_weights_of_another_class_count_are_recognised_whatever_the_last_layer_is_called(
    tmp_path, name: str
) -> None:
    spec = find_model(name)
    network, _ = build_with_weights(spec, "random", num_classes=7)
    path = tmp_path / "own.pdparams"
    paddle.save(network.state_dict(), str(path))
    loaded, source = build_with_weights(spec, str(path))
    assert source.num_classes == 7
    image = paddle.rand([1, *spec.input_shape])
    assert paddle.allclose(network(image), loaded(image)).item()


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("mobilenetv1", "MobileNetV1"), ("mobilenetv2", "MobileNetV2"),
        ("mobilenetv3", "MobileNetV3_small_x0_35"), ("shufflenetv2", "ShuffleNetV2_x0_5"),
        ("resnet", "ResNet34"), ("efficientnet", "EfficientNetB0"),
    ],
)  # fmt: skip
def test_an_unknown_variant_is_refused_with_those_that_there_are(family: str, name: str) -> None:
    import msgspec

    spec = find_model(name)
    assert spec.network is not None and spec.network.family == family
    broken = msgspec.structs.replace(spec, network=msgspec.structs.replace(spec.network, variant="x9"))
    with pytest.raises(InputError, match="x9") as caught:
        build_network(broken)
    assert caught.value.hint


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name[-1] != "0" else ()) for name in rows(LITE)],
)
def test_efficientnet_lite_has_its_published_figures(name: str) -> None:
    params_m, flops_m, top1 = rows(LITE)[name]
    published = find_model(name).published
    assert published is not None
    assert (published.params_m, published.flops_m, published.top1) == (params_m, flops_m, top1)
    measured = size(name)
    # 5.47 is printed as 5.4, and 4.69 as 4.7.
    assert measured[0] == pytest.approx(params_m, abs=0.08)
    assert measured[1] == pytest.approx(flops_m, rel=0.025)
