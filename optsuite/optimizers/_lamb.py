"""LAMB."""

from __future__ import annotations

from optsuite.optimizers._adam import scale_by_adam
from optsuite.optimizers._base import LrSchedule, Optimizer, Scalar, chain
from optsuite.optimizers._pieces import add_decayed_weights, scale_by_lr, scale_by_trust_ratio


def lamb(
    lr: Scalar | LrSchedule,
    *,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.999,
    eps: Scalar = 1e-6,
    weight_decay: Scalar = 0.0,
) -> Optimizer:
    """Make LAMB: u = Adam direction + weight_decay p; p -= lr |p| / |u| u, for each tensor.

    Args:
        lr: Learning rate, >= 0, or a schedule: the relative size of a step.
        beta1: Decay of the moving average of the gradient, in [0, 1).
        beta2: Decay of the moving average of its square, in [0, 1).
        eps: > 0, added to the root. Nothing is added under the root.
        weight_decay: >= 0, for every tensor, added before the norms are taken.

    Source: You et al., https://arxiv.org/abs/1904.00962;
    `learned_optimization/optimizers/optax_opts.py: Lamb`. Where a norm is 0, p -= lr u.

    Example:
        >>> opt = lamb(lr=1e-2)
    """
    return chain(
        scale_by_adam(beta1=beta1, beta2=beta2, eps=eps, eps_root=0.0),
        add_decayed_weights(weight_decay),
        scale_by_trust_ratio(),
        scale_by_lr(lr),
    )
