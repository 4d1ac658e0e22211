"""Adam with learning-rate schedules."""

from __future__ import annotations

from collections.abc import Sequence

from optsuite.optimizers._adam import adam
from optsuite.optimizers._base import Optimizer, Scalar
from optsuite.optimizers._schedules import exponential_decay, linear_rampup_sqrt_decay, piecewise_linear


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


def piecewise_linear_adam(
    times: Sequence[Scalar] = (10_000, 20_000),
    lrs: Sequence[Scalar] = (1e-4, 1e-5),
    *,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 1e-8,
) -> Optimizer:
    """Make `adam` with the learning-rate schedule `piecewise_linear`.

    Args:
        times: Rising numbers of updates, one for each of `lrs`.
        lrs: Learning rates at `times`, each >= 0.
        beta1: As in `adam`.
        beta2: As in `adam`.
        eps: As in `adam`.
        eps_root: As in `adam`.

    Raises:
        HParamError: There are not as many `times` as `lrs`.

    Source: `learned_optimization/optimizers/optax_opts.py: PiecewiseLinearAdam`.

    Example:
        >>> opt = piecewise_linear_adam(times=(0, 1000), lrs=(1e-3, 1e-5))
    """
    schedule = piecewise_linear(times, lrs)
    return adam(schedule, beta1=beta1, beta2=beta2, eps=eps, eps_root=eps_root)
