"""LARS."""

from __future__ import annotations

from optsuite.optimizers._base import LrSchedule, Optimizer, Scalar, chain
from optsuite.optimizers._pieces import add_decayed_weights, scale_by_lr, scale_by_trust_ratio, trace


def lars(
    lr: Scalar | LrSchedule,
    *,
    momentum: Scalar = 0.9,
    weight_decay: Scalar = 0.0,
    trust_coefficient: Scalar = 0.001,
) -> Optimizer:
    """Make LARS: u = g + weight_decay p; b = -lr trust_coefficient |p| / |u| u + momentum b; p += b.

    Args:
        lr: Learning rate, >= 0, or a schedule.
        momentum: In [0, 1).
        weight_decay: >= 0, for every tensor.
        trust_coefficient: >= 0.

    Source: You et al., https://arxiv.org/abs/1708.03888;
    `learned_optimization/optimizers/optax_opts.py: Lars`. Where a norm is 0 the step is lr u, without the
    coefficient: a fresh bias moves a thousand times further than its layer.

    Example:
        >>> opt = lars(lr=1.0)
    """
    return chain(
        add_decayed_weights(weight_decay),
        scale_by_trust_ratio(trust_coefficient=trust_coefficient),
        scale_by_lr(lr),
        trace(momentum),
    )
