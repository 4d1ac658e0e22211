"""Adam with a linear ramp-up and an inverse square root decay."""

from __future__ import annotations

from optsuite.optimizers._adam import adam
from optsuite.optimizers._base import Optimizer, Scalar
from optsuite.optimizers._schedules import linear_rampup_sqrt_decay


def adam_sqrt_decay_lr(
    lr: Scalar,
    *,
    warmup_steps: Scalar = 1000,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 1e-8,
) -> Optimizer:
    """Make `adam` with the learning-rate schedule `linear_rampup_sqrt_decay`.

    Args:
        lr: The highest learning rate, >= 0.
        warmup_steps: Number of the update at which it is reached, > 0.
        beta1: As in `adam`.
        beta2: As in `adam`.
        eps: As in `adam`.
        eps_root: As in `adam`.

    Source: `learned_optimization/baselines/hparam_sets.py: AdamSqrtDecayLR`.

    Example:
        >>> opt = adam_sqrt_decay_lr(lr=1e-3)
    """
    schedule = linear_rampup_sqrt_decay(lr, warmup_steps=warmup_steps)
    return adam(schedule, beta1=beta1, beta2=beta2, eps=eps, eps_root=eps_root)
