"""Adam with an exponential decay."""

from __future__ import annotations

from optsuite.optimizers._adam import adam
from optsuite.optimizers._base import Optimizer, Scalar
from optsuite.optimizers._schedules import exponential_decay


def adam_exp_decay_lr(
    lr: Scalar,
    *,
    decay: Scalar = 7e-5,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 1e-8,
) -> Optimizer:
    """Make `adam` with the learning-rate schedule `exponential_decay`.

    Args:
        lr: The learning rate of the first update, >= 0.
        decay: Fraction of it that is lost at every update, in [0, 1).
        beta1: As in `adam`.
        beta2: As in `adam`.
        eps: As in `adam`.
        eps_root: As in `adam`.

    Source: `learned_optimization/baselines/hparam_sets.py: AdamExpDecayLR`.

    Example:
        >>> opt = adam_exp_decay_lr(lr=1e-3)
    """
    schedule = exponential_decay(lr, decay=decay)
    return adam(schedule, beta1=beta1, beta2=beta2, eps=eps, eps_root=eps_root)
