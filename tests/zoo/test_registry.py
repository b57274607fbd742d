"""Model cards: strict reading, look-up, and the figures of the published tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit._cards import cards_directory
from edgekit.core.preprocess import Interpolation, ResizeBackend
from edgekit.core.spec import Platform
from edgekit.errors import InputError
from edgekit.vision.labels import load_labels
from edgekit.zoo.registry import find_model, list_models, read_card

# PaddleClas, docs/en/models/PP-LCNet_en.md, section 1.3.1, as printed:
# model | Params(M) | FLOPs(M) | Top-1 | Top-5 | Latency(ms)
PP_LCNET = """
PPLCNet_x0_25  | 1.5 | 18  | 51.86 | 75.65 | 1.74
PPLCNet_x0_35  | 1.6 | 29  | 58.09 | 80.83 | 1.92
PPLCNet_x0_5   | 1.9 | 47  | 63.14 | 84.66 | 2.05
PPLCNet_x0_75  | 2.4 | 99  | 68.18 | 88.30 | 2.29
PPLCNet_x1_0     | 3.0 | 161 | 71.32 | 90.03 | 2.46
PPLCNet_x1_5   | 4.5 | 342 | 73.71 | 91.53 | 3.19
PPLCNet_x2_0     | 6.5 | 590 | 75.18 | 92.27 | 4.27
PPLCNet_x2_5   | 9.0 | 906 | 76.60 | 93.00 | 5.39
PPLCNet_x0_5_ssld | 1.9 | 47  | 66.10 | 86.46 | 2.05
PPLCNet_x1_0_ssld | 3.0 | 161 | 74.39 | 92.09 | 2.46
PPLCNet_x2_5_ssld | 9.0 | 906 | 80.82 | 95.33 | 5.39
"""
# Same section: V100 at batch 1, 4, 8 and SD855 with 1, 2, 4 threads.
V100 = """
PPLCNet_x0_25 | 0.72 | 1.17 | 1.71
PPLCNet_x0_35 | 0.69 | 1.21 | 1.82
PPLCNet_x0_5  | 0.70 | 1.32 | 1.94
PPLCNet_x0_75 | 0.71 | 1.49 | 2.19
PPLCNet_x1_0  | 0.73 | 1.64 | 2.53
PPLCNet_x1_5  | 0.82 | 2.06 | 3.12
PPLCNet_x2_0  | 0.94 | 2.58 | 4.08
"""
SD855 = """
PPLCNet_x0_25 | 2.30  | 1.62  | 1.32
PPLCNet_x0_35 | 3.15  | 2.11  | 1.64
PPLCNet_x0_5  | 4.27  | 2.73  | 1.92
PPLCNet_x0_75 | 7.38  | 4.51  | 2.91
PPLCNet_x1_0  | 10.78 | 6.49  | 3.98
PPLCNet_x1_5  | 20.55 | 12.26 | 7.54
PPLCNet_x2_0  | 33.79 | 20.17 | 12.10
PPLCNet_x2_5  | 49.89 | 29.60 | 17.82
"""
# PaddleClas, docs/en/models/PP-HGNet_en.md, section 1.3: Top-1 | Top-5 | Latency(ms)
PP_HGNET = """
PPHGNet_tiny      | 79.83 | 95.04 | 1.77
PPHGNet_tiny_ssld  | 81.95 | 96.12 | 1.77
PPHGNet_small     | 81.51| 95.82 | 2.52
PPHGNet_small_ssld | 83.82| 96.81 | 2.52
PPHGNet_base_ssld | 85.00| 97.35 | 5.97
"""


def rows(table: str) -> dict[str, list[float]]:
    cells = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]
    return {name: [float(value) for value in values] for name, *values in cells}


def latencies(name: str, platform: Platform) -> list[tuple[int, int | None, float]]:
    published = find_model(name).published
    assert published is not None
    return [
        (each.batch_size, each.threads, each.latency_ms)
        for each in published.latencies
        if each.platform is platform
    ]


def test_cards_carry_the_published_pp_lcnet_table() -> None:
    for name, (params_m, flops_m, top1, top5, latency_ms) in rows(PP_LCNET).items():
        published = find_model(name).published
        assert published is not None
        # The cards have the model list's two more digits; rounded they are this table's.
        assert float(f"{published.params_m:.1f}") == params_m
        assert float(f"{published.flops_m:.0f}") == flops_m
        assert (published.top1, published.top5) == (top1, top5)
        assert latencies(name, Platform.INTEL_CPU) == [(1, None, latency_ms)]


def test_cards_carry_the_published_gpu_and_phone_latencies_and_no_others() -> None:
    v100, sd855 = rows(V100), rows(SD855)
    for name in rows(PP_LCNET):
        expected_v100 = [(batch, None, ms) for batch, ms in zip((1, 4, 8), v100.get(name, ()), strict=False)]
        expected_sd855 = [
            (1, threads, ms) for threads, ms in zip((1, 2, 4), sd855.get(name, ()), strict=False)
        ]
        assert latencies(name, Platform.V100) == expected_v100
        assert latencies(name, Platform.SD855) == expected_sd855


def test_cards_carry_the_published_pp_hgnet_table() -> None:
    for name, (top1, top5, latency_ms) in rows(PP_HGNET).items():
        spec = find_model(name)
        assert spec.published is not None
        assert (spec.published.top1, spec.published.top5) == (top1, top5)
        assert latencies(name, Platform.V100) == [(1, None, latency_ms)]
        assert spec.preprocess.interpolation is Interpolation.BICUBIC
        assert spec.preprocess.resize_backend is ResizeBackend.PILLOW
        assert spec.preprocess.resize_short == (232 if "tiny" in name else 236)


def test_every_model_is_listed_once_by_family_and_size() -> None:
    names = [spec.name for spec in list_models()]
    assert {*rows(PP_LCNET), *rows(PP_HGNET), "PPLCNet_x1_0_doc_ori"} <= set(names)
    assert names.index("PPLCNet_x0_5") < names.index("PPLCNet_x1_0") < names.index("PPHGNet_tiny")
    assert len(names) == len(set(names))


OWN = [spec for spec in list_models() if spec.family.startswith("PP-")]


@pytest.mark.parametrize("spec", OWN, ids=lambda spec: spec.name)
def test_card_is_complete(spec) -> None:
    assert (cards_directory() / f"{spec.name}.toml").is_file()
    assert spec.network is not None
    assert len(load_labels(spec.labels, spec.num_classes)) == spec.num_classes
    assert spec.weights.pretrained_url or spec.weights.package_sha256
    # PP-HGNetV2's plain names are those of its distilled weights.
    published = f"{spec.name}_ssld" if spec.family == "PP-HGNetV2" else spec.name
    if spec.weights.pretrained_url:
        assert spec.weights.pretrained_url.endswith(f"/{published}_pretrained.pdparams")
    if spec.weights.inference_url:
        assert spec.weights.inference_url.endswith(f"/{published}_infer.tar")
    for sample in spec.samples:
        assert Path(sample.file).is_file()
        assert 0 <= sample.class_id < spec.num_classes


@pytest.mark.parametrize(
    ("misspelt", "nearest"),
    [("PPLCNet_x05", "PPLCNet_x0_5"), ("pphgnet_tiny", "PPHGNet_tiny"), ("PP-LCNet_x1_0", "PPLCNet_x1_0")],
)
def test_a_misspelt_name_suggests_the_nearest(misspelt: str, nearest: str) -> None:
    with pytest.raises(InputError, match=misspelt) as caught:
        find_model(misspelt)
    assert caught.value.hint is not None and f"did you mean {nearest}" in caught.value.hint


CARD = """
name = "Own"
family = "Own"
summary = "a user's own"
num_classes = 2
labels = "own.txt"
samples = [{ file = "cat.jpg", class_id = 1 }]
"""


def test_a_card_by_path_resolves_its_files(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(CARD)
    (tmp_path / "own.txt").write_text("dog\ncat\n")
    spec = find_model(str(tmp_path / "own.toml"))
    assert load_labels(spec.labels, 2) == ("dog", "cat")
    assert spec.samples[0].file == str(tmp_path / "cat.jpg")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CARD.replace("num_classes = 2", "num_classes = 0"), "num_classes"),
        (CARD + "nonsense = 1\n", "nonsense"),
        (CARD.replace('family = "Own"', ""), "family"),
        ("name = ", "Invalid|invalid"),
    ],
)
def test_a_malformed_card_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_card(path)
    assert str(path) in caught.value.message
