"""Gradient descent, with and without momentum."""

from __future__ import annotations

from optsuite.optimizers._base import LrSchedule, Optimizer, Scalar, chain
from optsuite.optimizers._pieces import scale_by_lr, trace


def sgd(lr: Scalar | LrSchedule) -> Optimizer:
    """Make gradient descent: p -= lr g.

    Args:
        lr: Learning rate, >= 0, or a schedule.

    Source: `learned_optimization/optimizers/optax_opts.py: SGD`.

    Example:
        >>> opt = sgd(lr=0.1)
    """
    return scale_by_lr(lr)


def sgdm(lr: Scalar | LrSchedule, *, momentum: Scalar = 0.9) -> Optimizer:
    """Make gradient descent with heavy-ball momentum: b = g + momentum b; p -= lr b.

    Args:
        lr: Learning rate, >= 0, or a schedule.
        momentum: In [0, 1).

    Source: Polyak, 1964; `learned_optimization/optimizers/optax_opts.py: SGDM`. The gradient enters
    with weight 1, not (1 - momentum), and the learning rate is applied after the sum.

    Example:
        >>> opt = sgdm(lr=0.1, momentum=0.9)
    """
    return chain(trace(momentum), scale_by_lr(lr))
