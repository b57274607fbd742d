"""PicoDet and DeepLabV3+ on PP-LCNet: the keys of the original projects, shapes, weights."""

from __future__ import annotations

import functools
import hashlib
import math
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgekit.core.boxes import PicoDetRule
from edgekit.core.feeds import seeded_array
from edgekit.core.spec import ModelSpec, Network, Platform
from edgekit.errors import InputError
from edgekit.tasks.registry import find_task
from edgekit.vision.boxes import Frame, decode_picodet
from edgekit.vision.labels import load_labels
from edgekit.vision.preprocess import Preprocessor
from edgekit.zoo.build import build_network
from edgekit.zoo.random_weights import calibration_images
from edgekit.zoo.registry import find_model, list_models
from edgekit.zoo.weights import build_with_weights, check_fit, parameter_shapes
from tests.conftest import NEEDS_PADDLE

paddle = pytest.importorskip("paddle", reason=NEEDS_PADDLE)

# SHA-256 of `KEY [SHAPE]\n` of all keys in order, out of the state dicts that PaddleDetection and PaddleSeg
# (19 classes) make of their own configurations.
ORIGINALS = [
    ("picodet", "xs", 80, 463, "5134a7104d32b955"),
    ("picodet", "s", 80, 463, "ec796b3754d7bd91"),
    ("picodet", "m", 80, 543, "99b623a384a65b16"),
    ("picodet", "l", 80, 543, "097a60acddef3e14"),
    ("picodet_legacy", "x1_0", 80, 491, "84ee5aab786f3a8b"),
    ("picodet_legacy", "x1_0", 10, 491, "c3da4a901ac59fee"),
    ("picodet_legacy", "x1_5", 80, 491, "cccf796531d91395"),
    ("picodet_legacy", "x1_5_wide", 80, 491, "9812408fc41c2e6c"),
    ("picodet_legacy", "x2_5", 80, 491, "11699db77f4a7dd8"),
    ("deeplabv3p", "x0_25", 19, 228, "4c57d195640ec255"),
    ("deeplabv3p", "x0_5", 19, 228, "a4e3b2357c63f469"),
    ("deeplabv3p", "x1_0", 19, 228, "b8a557e9cf2a3981"),
    ("deeplabv3p", "x1_5", 19, 228, "01735bd553c880bf"),
]
SMALL = [("picodet", "xs"), ("picodet_legacy", "x1_0"), ("deeplabv3p", "x0_25")]
CLASSES = 5
LAYOUT = "PicoDet_LCNet_x1_0_layout"
SIZE = (3, 96, 128)
PLACES = [12 * 16, 6 * 8, 3 * 4, 2 * 2]


def a_card(family: str, variant: str, num_classes: int = CLASSES) -> ModelSpec:
    return ModelSpec(
        name="net", family="", summary="", num_classes=num_classes, input_shape=SIZE,
        network=Network(family=family, variant=variant),
    )  # fmt: skip


@functools.cache
def random_network(family: str, variant: str):
    return build_with_weights(a_card(family, variant), "random", seed=2)[0]


def outputs_of(network, images: np.ndarray) -> list[np.ndarray]:
    with paddle.no_grad():
        found = network(paddle.to_tensor(images))
    return [each.numpy() for each in (found if isinstance(found, tuple) else (found,))]


def some_images(count: int) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((count, *SIZE)).astype(np.float32)


@pytest.mark.parametrize(("family", "variant", "classes", "count", "digest"), ORIGINALS)
def test_keys_and_shapes_are_those_of_the_original(
    family: str, variant: str, classes: int, count: int, digest: str
) -> None:
    with paddle.LazyGuard():
        shapes = parameter_shapes(build_network(a_card(family, variant, classes)))
    text = "".join(f"{key} {list(shape)}\n" for key, shape in shapes.items())
    assert len(shapes) == count
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == digest


@pytest.mark.parametrize("family", ["picodet", "picodet_legacy", "deeplabv3p"])
def test_an_unknown_variant_is_refused(family: str) -> None:
    with pytest.raises(InputError, match="x9"):
        build_network(a_card(family, "x9", 2))


@pytest.mark.parametrize(("family", "variant"), SMALL[:2])
def test_a_detector_gives_scores_and_distributions_by_stride(family: str, variant: str) -> None:
    outputs = outputs_of(random_network(family, variant), some_images(2))
    assert [each.shape for each in outputs[:4]] == [(2, places, CLASSES) for places in PLACES]
    assert [each.shape for each in outputs[4:]] == [(2, places, 32) for places in PLACES]
    assert all(each.min() >= 0 and each.max() <= 1 for each in outputs[:4])


def test_a_random_detector_finds_little_but_not_nothing() -> None:
    card = msgspec.structs.replace(a_card("picodet", "xs"), input_shape=(3, 192, 192))
    network, _ = build_with_weights(card, "random")
    scores = outputs_of(network, calibration_images(np.random.default_rng(0), card.input_shape))[:4]
    assert 0 < np.concatenate([each.reshape(-1) > 0.5 for each in scores]).mean() < 0.02


def test_a_segmenter_gives_logits_of_every_pixel() -> None:
    (scores,) = outputs_of(random_network("deeplabv3p", "x0_25"), some_images(2))
    assert scores.shape == (2, CLASSES, *SIZE[1:])
    assert len(np.unique(scores.argmax(axis=1))) >= 3


@pytest.mark.parametrize(("family", "variant"), SMALL)
def test_random_weights_tell_inputs_apart(family: str, variant: str) -> None:
    outputs = outputs_of(random_network(family, variant), some_images(2))
    assert all(np.isfinite(each).all() for each in outputs)
    assert all(np.abs(each[0] - each[1]).max() > 1e-3 for each in outputs if each.shape[-1] != CLASSES)


def test_random_weights_of_a_detector_do_not_magnify_rounding() -> None:
    """In float64 the outputs are the same to a tenth of what engines may differ in."""
    network = random_network("picodet", "xs")
    image = seeded_array((3, 224, 224), 0)[None]
    single = outputs_of(network, image.astype(np.float32))
    try:
        double = outputs_of(network.to(dtype="float64"), image)
    finally:
        network.to(dtype="float32")
    for own, exact in zip(single, double, strict=True):
        assert np.abs(own - exact).max() < 1e-5 * np.ptp(exact)


def test_random_weights_of_a_detector_repeat() -> None:
    first = random_network("picodet", "xs").state_dict()
    second = build_with_weights(a_card("picodet", "xs"), "random", seed=2)[0].state_dict()
    assert all((first[key].numpy() == second[key].numpy()).all() for key in first)


@pytest.mark.parametrize(("family", "variant"), SMALL)
def test_own_weights_bring_their_number_of_classes(tmp_path: Path, family: str, variant: str) -> None:
    path, original = tmp_path / "own.pdparams", random_network(family, variant)
    paddle.save(original.state_dict(), str(path))
    network, found = build_with_weights(a_card(family, variant, 80), str(path))
    assert found.num_classes == CLASSES
    pairs = zip(outputs_of(network, some_images(1)), outputs_of(original, some_images(1)), strict=True)
    assert all((mine == theirs).all() for mine, theirs in pairs)


def test_weights_may_lack_second_names_and_what_only_training_uses(tmp_path: Path) -> None:
    card, original = a_card("picodet", "xs"), random_network("picodet", "xs").state_dict()
    lacking = {
        key: tensor
        for key, tensor in original.items()
        if "_list." not in key and "scale_reg" not in key and "project" not in key
    }
    assert len(lacking) == 463 - 16 - 5
    path = tmp_path / "lacking.pdparams"
    paddle.save(lacking, str(path))
    loaded = build_with_weights(card, str(path))[0].state_dict()
    assert all((loaded[key].numpy() == tensor.numpy()).all() for key, tensor in original.items())

    del lacking["head.head_cls0.weight"]
    paddle.save(lacking, str(path))
    with pytest.raises(InputError, match=r"2 missing \(head.head_cls_list.0.weight, head.head_cls0.weight\)"):
        build_with_weights(card, str(path))


def test_weights_of_another_width_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pdparams"
    paddle.save(random_network("deeplabv3p", "x0_25").state_dict(), str(path))
    with pytest.raises(InputError, match="mis-shaped"):
        build_with_weights(a_card("deeplabv3p", "x0_5"), str(path))


def test_another_number_of_classes_alone_is_said_so() -> None:
    card = a_card("picodet_legacy", "x1_0", 4)
    with paddle.LazyGuard():
        shapes, wanted = (parameter_shapes(build_network(card, count)) for count in (7, 4))
    with pytest.raises(InputError, match="8 mis-shaped") as caught:
        check_fit(card, "own.pdparams", shapes, wanted)
    assert "only the number of classes differs" in str(caught.value.hint)


@pytest.fixture(scope="module")
def layout():
    return build_with_weights(find_model(LAYOUT), "pretrained")


def test_the_layout_network_equals_the_onnx_model_that_it_comes_from(layout) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    network, found = layout
    spec = find_model(LAYOUT)
    assert (found.source, found.num_classes, found.sha256) == ("pretrained", 10, spec.weights.package_sha256)
    session = onnxruntime.InferenceSession(found.path, providers=["CPUExecutionProvider"])
    images = np.random.default_rng(5).standard_normal((1, *spec.input_shape)).astype(np.float32)
    expected = session.run(None, {session.get_inputs()[0].name: images})
    for mine, theirs in zip(outputs_of(network, images), expected, strict=True):
        assert np.abs(mine - theirs).max() < 1e-5 * (theirs.max() - theirs.min())


def test_the_layout_network_finds_the_regions_of_its_sample(layout) -> None:
    cv2 = pytest.importorskip("cv2")
    spec = find_model(LAYOUT)
    (sample,) = spec.samples
    page = cv2.cvtColor(cv2.imread(sample.file), cv2.COLOR_BGR2RGB)
    outputs = outputs_of(layout[0], Preprocessor(spec.preprocess)(page)[None])
    frame = Frame.of_steps(page.shape[:2], spec.preprocess.geometry)
    (boxes,) = decode_picodet(outputs[:4], outputs[4:], PicoDetRule(), 0.5, [frame], spec.num_classes)
    labels = load_labels(spec.labels, spec.num_classes)
    found = Counter(labels[each] for each in boxes.classes)
    assert found == {
        "text": 11, "title": 3, "header": 2, "figure": 1, "figure_caption": 1, "table": 1,
        "table_caption": 1, "footer": 1,
    }  # fmt: skip
    (figure,) = boxes.corners[boxes.classes == labels.index("figure")]
    assert figure == pytest.approx([522, 212, 911, 465], abs=3)


@pytest.mark.parametrize(
    "spec", [spec for spec in list_models() if spec.task == "detection"], ids=lambda spec: spec.name
)
def test_cards_of_detectors_are_complete(spec: ModelSpec) -> None:
    assert len(load_labels(spec.labels)) == spec.num_classes
    assert spec.preprocess.size == spec.input_shape[1:]
    assert all(size % 32 == 0 for size in spec.input_shape[1:])
    assert isinstance(find_task(spec.task).read_rule(spec.postprocess, spec.name), PicoDetRule)
    assert all(Path(sample.file).is_file() for sample in spec.samples)


# PaddleDetection, configs/picodet/README_en.md: mAP, mAP at IoU 0.5, parameters (M), FLOPs (G), latency on
# the CPU and on the phone.
PICODET = """
xs_320 | 23.5 | 36.1 | 0.70 | 0.67 | 3.9 | 7.81
xs_416 | 26.2 | 39.3 | 0.70 | 1.13 | 6.1 | 12.38
s_320 | 29.1 | 43.4 | 1.18 | 0.97 | 4.8 | 9.56
s_416 | 32.5 | 47.6 | 1.18 | 1.65 | 6.6 | 15.20
m_320 | 34.4 | 50.0 | 3.46 | 2.57 | 8.2 | 17.68
m_416 | 37.5 | 53.4 | 3.46 | 4.34 | 12.7 | 28.39
l_320 | 36.1 | 52.0 | 5.80 | 4.20 | 11.5 | 25.21
l_416 | 39.4 | 55.7 | 5.80 | 7.10 | 20.7 | 42.23
l_640 | 42.6 | 59.2 | 5.80 | 16.81 | 62.5 | 108.1
"""


@pytest.mark.parametrize("line", PICODET.strip().splitlines())
def test_cards_carry_the_published_picodet_table(line: str) -> None:
    name, *cells = (cell.strip() for cell in line.split("|"))
    mean, mean50, params, flops, cpu, phone = map(float, cells)
    spec = find_model(f"PicoDet_{name}_LCNet")
    published = spec.published
    assert published is not None and spec.weights.pretrained_url is not None
    assert spec.weights.pretrained_url.endswith(f"/picodet_{name}_coco_lcnet.pdparams")
    assert (published.map, published.map50, published.params_m) == (mean, mean50, params)
    assert published.flops_m == pytest.approx(500 * flops)
    latencies = [(each.platform, each.threads, each.latency_ms) for each in published.latencies]
    assert latencies == [(Platform.INTEL_CPU, 12, cpu), (Platform.SD865, 4, phone)]
    assert spec.input_shape == (3, int(name[-3:]), int(name[-3:]))


@pytest.mark.parametrize("size", ["xs_320", "s_320", "m_320", "l_320", "x1_5_416", "x1_5_640"])
def test_sizes_are_about_the_published_ones(size: str) -> None:
    spec = find_model(f"PicoDet_LCNet_{size}" if size.startswith("x1") else f"PicoDet_{size}_LCNet")
    with paddle.LazyGuard():
        network = build_network(spec)
    params = sum(math.prod(parameter.shape) for parameter in network.parameters())
    assert spec.published is not None
    assert params / 1e6 == pytest.approx(spec.published.params_m, rel=0.03)
