"""Random changes of pictures and batches: repeatable, of the right size, and what they say they are."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.core.preprocess import Preprocess, Resize
from edgekit.errors import InputError
from edgekit.training.augment import (
    Augment,
    AutoAugment,
    CentrePad,
    Flip,
    RandAugment,
    RandomCrop,
    RandomErasing,
    RandomResizedCrop,
    ResizeTo,
    Step,
)
from edgekit.training.mixing import Mixing

PICTURE = np.random.default_rng(5).integers(0, 256, (50, 70, 3), dtype=np.uint8)
TEXT_LINE = Preprocess(steps=(Resize(size=(24, 48)),))


def augmented(steps: tuple[Step, ...], seed: int = 0, parameters: Preprocess = TEXT_LINE) -> np.ndarray:
    out = np.empty((3, *parameters.size), np.float32)
    Augment(parameters, steps)(PICTURE, out, "p.jpg", np.random.default_rng(seed))
    return out


def test_a_recipe_repeats_by_its_seed_and_ends_in_the_network_s_size() -> None:
    steps = (
        ResizeTo(size=(24, 48)), CentrePad(size=(30, 60)), RandomCrop(size=(24, 48)), Flip(),
        RandAugment(), RandomErasing(prob=1.0),
    )  # fmt: skip
    assert np.array_equal(augmented(steps), augmented(steps))
    assert not np.array_equal(augmented(steps), augmented(steps, seed=1))
    assert augmented((RandomResizedCrop(),)).shape == (3, 24, 48)


def test_the_last_step_must_fit_the_network() -> None:
    with pytest.raises(InputError, match=r"p\.jpg: it becomes 70x50 pixels, the network takes 48x24"):
        augmented((Flip(),))
    with pytest.raises(InputError, match="less than the random crop of 400x400"):
        augmented((RandomCrop(size=(400, 400)),))
    with pytest.raises(InputError, match="padded to less, 20x20"):
        augmented((CentrePad(size=(20, 20)),))


def test_every_distortion_of_randaugment_changes_a_picture_and_keeps_its_size() -> None:
    step = RandAugment(layers=1)
    results = {step.apply(PICTURE, np.random.default_rng(seed), "p.jpg").tobytes() for seed in range(80)}
    assert len(results) > 25  # half of them are the picture itself
    assert RandAugment(prob=0.0).apply(PICTURE, np.random.default_rng(0), "p.jpg") is PICTURE
    for magnitude in (0.0, 10.0):  # the ends of every range are valid
        for seed in range(60):
            changed = RandAugment(magnitude=magnitude, deviation=0).apply(
                PICTURE, np.random.default_rng(seed), "p.jpg"
            )
            assert changed.shape == PICTURE.shape and changed.dtype == np.uint8


def test_the_learned_pairs_change_most_pictures_and_keep_their_size() -> None:
    changed = [AutoAugment().apply(PICTURE, np.random.default_rng(seed), "p.jpg") for seed in range(100)]
    assert {each.shape for each in changed} == {PICTURE.shape}
    assert {each.dtype for each in changed} == {np.dtype(np.uint8)}
    assert sum(not np.array_equal(each, PICTURE) for each in changed) > 60


def test_erasing_covers_the_share_that_it_says() -> None:
    plain = augmented((ResizeTo(size=(24, 48)),))
    for seed in range(20):
        erased = augmented((ResizeTo(size=(24, 48)), RandomErasing(prob=1.0, area=(0.1, 0.2))), seed=seed)
        share = float((erased != plain).any(axis=0).mean())
        assert 0.07 <= share <= 0.23


def test_mixed_batches_mix_their_targets_likewise() -> None:
    images = np.arange(4, dtype=np.float32)[:, None, None, None] * np.ones((4, 3, 16, 16), np.float32)
    targets = np.eye(4, dtype=np.float32)
    for mixing in (Mixing(mixup=1.0), Mixing(cutmix=1.0)):
        for seed in range(10):
            mixed, shares = mixing.apply(images.copy(), targets, np.random.default_rng(seed))
            assert shares.sum(axis=1) == pytest.approx(1)
            # A picture's mean is the mean of the numbers that it is made of, by the shares of its target.
            assert mixed.mean(axis=(1, 2, 3)) == pytest.approx(shares @ np.arange(4), abs=1e-5)
    same, kept = Mixing().apply(images, targets, np.random.default_rng(0))
    assert same is images and kept is targets
    with pytest.raises(ValueError, match="more than all"):
        Mixing(mixup=0.7, cutmix=0.7)
