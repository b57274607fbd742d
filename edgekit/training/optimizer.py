"""The optimiser of a run, and what single parameters get of the learning rate and the decay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from edgekit.core.spec import ModelSpec
from edgekit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import paddle

Beta = Annotated[float, Meta(ge=0, lt=1)]
# Beginnings of the parameters of PP-LCNet's stages, of which PaddleClas's `lr_mult_list` has one factor each.
STAGES = {"pplcnet": ("conv1.", "blocks2.", "blocks3.", "blocks4.", "blocks5.", "blocks6.")}


class AdamW(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of AdamW (Loshchilov and Hutter, 2019), by the names of PaddleClas.

    Attributes:
        no_weight_decay_name: Parts of names of parameters that do not decay, separated by spaces.
        one_dim_param_no_weight_decay: Whether biases and scales do not decay.
    """

    beta1: Beta = 0.9
    beta2: Beta = 0.999
    epsilon: Annotated[float, Meta(gt=0)] = 1e-8
    no_weight_decay_name: str = ""
    one_dim_param_no_weight_decay: bool = False


def _stages(spec: ModelSpec) -> tuple[str, ...]:
    return () if spec.network is None else STAGES.get(spec.network.family, ())


def check_stage_rates(spec: ModelSpec, factors: Sequence[float]) -> None:
    """Raise an InputError where a network has no such number of stages."""
    stages = _stages(spec)
    if factors and len(factors) != len(stages):
        known = f"it has {len(stages)}" if stages else f"they are known of {', '.join(STAGES)} alone"
        raise InputError(f"setting {len(factors)} learning rates for the stages of {spec.name}: {known}")


def build_optimizer(
    network: paddle.nn.Layer,
    spec: ModelSpec,
    *,
    momentum: float,
    adamw: AdamW | None,
    weight_decay: float,
    stage_rates: Sequence[float],
) -> paddle.optimizer.Optimizer:
    """Return the optimiser of the parameters that learn; its learning rate is set at every step.

    Args:
        network: The network to train.
        spec: Its card.
        momentum: Of plain gradient descent.
        adamw: AdamW in its place.
        weight_decay: L2 coefficient, with AdamW the decay that is no part of the gradient.
        stage_rates: Factors of the learning rate by stage; the last layers have 1.
    """
    import paddle

    stages = _stages(spec)
    named = [(name, each) for name, each in network.named_parameters() if not each.stop_gradient]
    for name, parameter in named:
        for stage, factor in zip(stages, stage_rates, strict=False):
            if name.startswith(stage):
                parameter.optimize_attr["learning_rate"] *= factor
    parameters = [parameter for _, parameter in named]
    if adamw is None:
        return paddle.optimizer.Momentum(
            learning_rate=0.0, momentum=momentum, parameters=parameters,
            weight_decay=paddle.regularizer.L2Decay(weight_decay),
        )  # fmt: skip
    kept = adamw.no_weight_decay_name.split()
    undecayed = {
        parameter.name
        for name, parameter in named
        if any(part in name for part in kept)
        or (adamw.one_dim_param_no_weight_decay and len(parameter.shape) == 1)
    }
    return paddle.optimizer.AdamW(
        learning_rate=0.0, beta1=adamw.beta1, beta2=adamw.beta2, epsilon=adamw.epsilon,
        parameters=parameters, weight_decay=weight_decay,
        apply_decay_param_fun=lambda name: name not in undecayed,
    )  # fmt: skip
