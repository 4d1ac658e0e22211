"""NAdamW."""

from __future__ import annotations

import torch
from torch import Tensor

from optsuite._types import Params
from optsuite.optimizers._adam import AdamState, init_moments, next_moments
from optsuite.optimizers._base import (
    LrSchedule,
    Optimizer,
    Scalar,
    add_scaled,
    cast,
    chain,
    decay_power,
    piece,
)
from optsuite.optimizers._pieces import add_decayed_weights, scale_by_lr
from optsuite.optimizers._schedules import cosine_decay
from optsuite.tree import tree_map


def scale_by_nadamw(
    *,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    weight_decay: Scalar = 0.0,
    nesterov: Scalar = True,
) -> Optimizer:
    """Replace gradients by Adam's direction with a look ahead and a decay, scaled by the bias correction.

    m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; n = beta1 m + (1 - beta1) g, or m without
    `nesterov`; at the t-th update it gives c (n / (sqrt(v) + eps) + weight_decay p) with
    c = sqrt(1 - beta2^t) / (1 - beta1^t).

    Args:
        beta1: In [0, 1).
        beta2: In [0, 1).
        eps: > 0, added to the root of v, which is not corrected.
        weight_decay: >= 0.
        nesterov: Whether to look ahead. Only numbers depend on it, so it may be a 0-d tensor, 0 or 1.

    Source: `learned_optimization/optimizers/nadamw.py: _nadamw_update`.

    Example:
        >>> opt = chain(scale_by_nadamw(), scale_by_lr(1e-3))
    """
    look_ahead = (1 - beta1) * nesterov

    def update(grads: Params, state: AdamState, params: Params) -> tuple[Params, AdamState]:
        new = next_moments(state, grads, beta1, beta2)
        correction = torch.sqrt(1 - decay_power(beta2, new.step)) / (1 - decay_power(beta1, new.step))

        def direction(g: Tensor, m: Tensor, v: Tensor, p: Tensor) -> Tensor:
            n = torch.lerp(m, g, cast(look_ahead, m))
            ratio = n / (torch.sqrt(v) + cast(eps, v)) * cast(correction, v)
            return add_scaled(ratio, p, correction * weight_decay)

        return tree_map(direction, grads, new.mu, new.nu, params), new

    return piece(init_moments, update)


def nadamw(
    lr: Scalar | LrSchedule,
    *,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    weight_decay: Scalar = 0.0,
    l2_weight_decay: Scalar = 0.0,
    nesterov: Scalar = True,
) -> Optimizer:
    """Make NAdamW: Adam with Nesterov momentum and two kinds of weight decay.

    With g = gradient - l2_weight_decay p and L = lr sqrt(1 - beta2^t) / (1 - beta1^t):
    p -= L (n / (sqrt(v) + eps) + weight_decay p), where n = beta1 m + (1 - beta1) g.

    Args:
        lr: Learning rate, >= 0, or a schedule.
        beta1: Decay of the moving average m of g, in [0, 1).
        beta2: Decay of the moving average v of its square, in [0, 1).
        eps: > 0, added to the root of v, which is not corrected: it counts for more at first.
        weight_decay: >= 0, for every tensor; multiplied by L, so not by lr alone.
        l2_weight_decay: >= 0, for every tensor, inside the averages. Its sign is the reference's, which
            makes parameters grow.
        nesterov: Whether to step by n, or else by m. It may be a 0-d tensor, 0 or 1.

    Source: Metz et al., https://arxiv.org/abs/2002.11887;
    `learned_optimization/optimizers/nadamw.py: NAdamW`.

    Example:
        >>> opt = nadamw(lr=1e-3, weight_decay=1e-2)
    """
    return chain(
        add_decayed_weights(-l2_weight_decay),
        scale_by_nadamw(beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay, nesterov=nesterov),
        scale_by_lr(lr),
    )


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
            lr, min_lr_mult=min_lr_mult, constant_fraction=constant_fraction, warmup_fraction=warmup_fraction
        ),
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        weight_decay=weight_decay,
        l2_weight_decay=l2_weight_decay,
        nesterov=nesterov,
    )
