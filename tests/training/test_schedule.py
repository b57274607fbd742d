"""The recipe's arithmetic: rate, order of pictures, augmentation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgekit.core.spec import Preprocess
from edgekit.training.data import Augment, shuffled
from edgekit.training.schedule import learning_rate


def test_the_rate_rises_linearly_then_falls_as_half_a_cosine() -> None:
    rates = [learning_rate(step, peak=0.8, warmup_steps=4, total_steps=104) for step in range(104)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates[54] == pytest.approx(0.4)  # half-way down
    assert rates[103] < 0.001
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[4:]))


def test_processes_share_an_epoch_without_overlap_and_take_equally_many_steps() -> None:
    shares = [
        shuffled(103, batch_size=5, seed=1, epoch=2, rank=rank, processes=2).indices for rank in range(2)
    ]
    assert [len(share) for share in shares] == [50, 50]
    assert len(set(shares[0]) | set(shares[1])) == 100
    assert shares[0] != shuffled(103, batch_size=5, seed=1, epoch=3, rank=0, processes=2).indices
    assert shares[0] == shuffled(103, batch_size=5, seed=1, epoch=2, rank=0, processes=2).indices


def test_a_list_shorter_than_a_step_is_filled_up() -> None:
    epoch = shuffled(3, batch_size=8, seed=0, epoch=0, rank=0, processes=1)
    assert epoch.steps == 1 and len(epoch.indices) == 8 and set(epoch.indices) == {0, 1, 2}


def test_augmentation_mirrors_half_and_crops_within_bounds_by_its_seed_alone() -> None:
    pixels = np.tile(np.arange(100, dtype=np.uint8)[None, :, None] * 2, (60, 1, 3))  # brighter to the right
    augment = Augment(Preprocess(crop_size=32, resize_short=36), min_area=0.08, flip=True)
    mirrored, spans = 0, []
    for seed in range(200):
        out = np.empty((3, 32, 32), np.float32)
        augment(pixels, out, "picture", np.random.default_rng(seed))
        mirrored += out[0, 0, 0] > out[0, 0, -1]
        spans.append(abs(float(out[0, 0, 0] - out[0, 0, -1])))
    assert 70 < mirrored < 130
    assert max(spans) / min(spans) > 2  # crops of different widths
    again = np.empty((3, 32, 32), np.float32)
    augment(pixels, again, "picture", np.random.default_rng(199))
    assert np.array_equal(out, again)
