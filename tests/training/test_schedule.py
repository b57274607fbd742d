"""The recipe's arithmetic: rate, order of pictures, augmentation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgekit.core.preprocess import Preprocess
from edgekit.training.augment import Augment, Flip, RandomResizedCrop
from edgekit.training.data import shuffled
from edgekit.training.schedule import (
    FEWEST_STEPS,
    fitting_batch,
    fitting_epochs,
    fitting_warmup,
    learning_rate,
    steps_an_epoch,
    too_few,
)


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
    augment = Augment(Preprocess(crop_size=32, resize_short=36), (RandomResizedCrop(), Flip()))
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


@pytest.mark.parametrize(
    ("pictures", "batch", "epochs", "warmup"),
    [
        (1_281_167, 64, 360, 5.0),
        (50_000, 64, 30, 3.0),
        (1400, 64, 286, 5.0),
        (200, 8, 240, 5.0),
        (3, 8, 360, 5.0),
    ],
)
def test_defaults_follow_the_number_of_pictures(
    pictures: int, batch: int, epochs: int, warmup: float
) -> None:
    assert fitting_batch(pictures, 1) == batch
    steps = steps_an_epoch(pictures, batch, 1)
    assert fitting_epochs(pictures, steps) == epochs
    assert fitting_warmup(epochs) == warmup
    assert too_few(epochs, steps) is None or pictures < 10


def test_a_short_run_warms_up_within_itself_and_says_that_it_is_short() -> None:
    assert fitting_warmup(2) == 0.2
    said = too_few(2, 20)
    assert said is not None and "40 steps in all" in said and "--epochs 25" in said
    assert FEWEST_STEPS == 25 * 20
    assert too_few(25, 20) is None


def test_fine_tuning_takes_fewer_epochs() -> None:
    assert fitting_epochs(120, 15, tuning=True) == 20
    assert fitting_epochs(24, 3, tuning=True) == 100
    assert fitting_epochs(1_281_167, 20_018, tuning=True) == 20
