"""Fromage."""

from __future__ import annotations

from optsuite.optimizers._base import Optimizer, Scalar, chain
from optsuite.optimizers._pieces import add_decayed_weights, scale_by_lr, scale_by_trust_ratio


def fromage(lr: Scalar, *, min_norm: Scalar = 1e-6) -> Optimizer:
    """Make Fromage: p = k (p - lr |p| / |g| g) with k = 1 / sqrt(1 + lr^2), for each tensor.

    Args:
        lr: Learning rate, >= 0: the relative size of a step. k undoes the growth of p by steps at right
            angles to it, also without a gradient.
        min_norm: Lower bound of both norms, > 0; so a zero bias moves by lr min_norm.

    Source: Bernstein et al., https://arxiv.org/abs/2002.03432;
    `learned_optimization/optimizers/optax_opts.py: Fromage`, where k - 1 is a difference of float32 numbers
    near 1; here it is exact.

    Example:
        >>> opt = fromage(lr=1e-2)
    """
    length = (1 + lr * lr) ** 0.5
    return chain(
        scale_by_trust_ratio(min_norm=min_norm),
        scale_by_lr(lr / length),
        add_decayed_weights(-lr * lr / (length * (1 + length))),
    )
