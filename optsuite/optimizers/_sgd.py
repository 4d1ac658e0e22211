"""Gradient descent."""

from __future__ import annotations

from optsuite.optimizers._base import LrSchedule, Optimizer, Scalar
from optsuite.optimizers._lr import scale_by_lr


def sgd(lr: Scalar | LrSchedule) -> Optimizer:
    """Make gradient descent: p -= lr g.

    Args:
        lr: Learning rate, >= 0, or a schedule.

    Source: `learned_optimization/optimizers/optax_opts.py: SGD`.

    Example:
        >>> opt = sgd(lr=0.1)
    """
    return scale_by_lr(lr)
