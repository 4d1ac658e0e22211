"""NAdamW with a cosine decay."""

from __future__ import annotations

from optsuite.optimizers._base import Optimizer, Scalar
from optsuite.optimizers._nadamw import nadamw
from optsuite.optimizers._schedules import cosine_decay


def nadamw_cosine_lr(
    lr: Scalar,
    *,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    weight_decay: Scalar = 0.0,
    l2_weight_decay: Scalar = 0.0,
    nesterov: Scalar = True,
    min_lr_mult: Scalar = 0.0,
    constant_fraction: Scalar = 0.5,
    warmup_fraction: Scalar = 0.01,
) -> Optimizer:
    """Make `nadamw` with the learning-rate schedule `cosine_decay`; `init` needs `num_steps`.

    Args:
        lr: The highest learning rate, >= 0.
        beta1: As in `nadamw`.
        beta2: As in `nadamw`.
        eps: As in `nadamw`.
        weight_decay: As in `nadamw`.
        l2_weight_decay: As in `nadamw`.
        nesterov: As in `nadamw`.
        min_lr_mult: As in `cosine_decay`.
        constant_fraction: As in `cosine_decay`.
        warmup_fraction: As in `cosine_decay`.

    Source: the family of optimizers from which `opt_list` picks.

    Example:
        >>> opt = nadamw_cosine_lr(lr=1e-3)
    """
    return nadamw(
        cosine_decay(
            lr,
            min_lr_mult=min_lr_mult,
            constant_fraction=constant_fraction,
            warmup_fraction=warmup_fraction,
        ),
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        weight_decay=weight_decay,
        l2_weight_decay=l2_weight_decay,
        nesterov=nesterov,
    )
