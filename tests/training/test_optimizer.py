"""Optimisers: one step by its formula, and what single parameters get of rate and decay."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.core.spec import ModelSpec
from edgekit.errors import InputError
from edgekit.training.optimizer import AdamW, build_optimizer, check_stage_rates
from edgekit.training.schedule import learning_rate
from edgekit.zoo.registry import find_model
from tests.conftest import NEEDS_PADDLE

paddle = pytest.importorskip("paddle", reason=NEEDS_PADDLE)
RATE = 0.01


def stepped(adamw: AdamW | None, rates: tuple[float, ...]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return each parameter of a network before and after a step with gradients of 1."""
    from edgekit.zoo.build import build_network

    spec: ModelSpec = find_model("PPLCNet_x0_25")
    network = build_network(spec, 3)
    before = {name: each.numpy().copy() for name, each in network.named_parameters()}
    optimizer = build_optimizer(network, spec, momentum=0.9, adamw=adamw, weight_decay=0.1, stage_rates=rates)
    optimizer.set_lr(RATE)
    sum(each.sum() for each in network.parameters()).backward()
    optimizer.step()
    return {name: (before[name], each.numpy()) for name, each in network.named_parameters()}


def test_stages_learn_at_their_own_rates_and_a_rate_of_zero_not_at_all() -> None:
    found = stepped(None, (0.0, 0.4, 0.4, 0.8, 0.8, 0.5))
    for name, factor in {
        "conv1.conv.weight": 0,
        "blocks2.0.dw_conv.conv.weight": 0.4,
        "fc.weight": 1,
    }.items():
        before, after = found[name]
        assert after == pytest.approx(before - RATE * factor * (1 + 0.1 * before), abs=1e-6), name


def test_adamw_decays_what_is_not_left_out() -> None:
    adamw = AdamW(no_weight_decay_name="blocks3", one_dim_param_no_weight_decay=True)
    found = stepped(adamw, ())
    # The first step of Adam is the rate, whatever the gradient; the decay is taken off before.
    for name, decay in {"conv1.conv.weight": 0.1, "blocks3.0.dw_conv.conv.weight": 0, "fc.bias": 0}.items():
        before, after = found[name]
        assert after == pytest.approx(before * (1 - RATE * decay) - RATE, abs=1e-5), name


def test_rates_by_stage_are_for_networks_whose_stages_are_known() -> None:
    check_stage_rates(find_model("MobileNetV2"), ())
    with pytest.raises(InputError, match="stages of MobileNetV2: they are known of pplcnet alone"):
        check_stage_rates(find_model("MobileNetV2"), (1.0, 0.5))


def test_the_rate_starts_and_ends_where_it_is_asked_to() -> None:
    ends = {"first": 0.1, "last": 0.02}
    rates = [learning_rate(step, peak=0.5, warmup_steps=4, total_steps=104, **ends) for step in range(104)]
    assert rates[:4] == pytest.approx([0.2, 0.3, 0.4, 0.5])
    assert rates[54] == pytest.approx(0.26) and rates[103] == pytest.approx(0.02, abs=1e-3)
