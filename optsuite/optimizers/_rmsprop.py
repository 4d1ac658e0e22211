"""RMSProp."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from optsuite._types import Params
from optsuite.optimizers._base import LrSchedule, Optimizer, Scalar, average_square, chain, over_root, piece
from optsuite.optimizers._pieces import scale_by_lr, trace
from optsuite.tree import tree_map


class RMSState(NamedTuple):
    """State of `scale_by_rms`."""

    nu: Params  # moving average of the squared gradient, shaped like params


def scale_by_rms(*, alpha: Scalar = 0.9, eps: Scalar = 1e-8, eps_in_root: bool = True) -> Optimizer:
    """Divide by the root mean square: v = alpha v + (1 - alpha) g^2, giving g / sqrt(v + eps).

    Args:
        alpha: In [0, 1).
        eps: > 0.
        eps_in_root: Whether eps is added under the root, or to the root. It is the same for all trials.

    Source: optax, `_src/transform.py: scale_by_rms`. v starts at 0 and is not corrected for it.

    Example:
        >>> opt = chain(scale_by_rms(), scale_by_lr(1e-3))
    """

    def init(params: Params) -> RMSState:
        return RMSState(tree_map(torch.zeros_like, params))

    def update(grads: Params, state: RMSState, _: Params) -> tuple[Params, RMSState]:
        def direction(g: Tensor, v: Tensor) -> Tensor:
            return over_root(g, v, eps, eps_in_root=eps_in_root)

        nu = average_square(state.nu, grads, alpha)
        return tree_map(direction, grads, nu), RMSState(nu)

    return piece(init, update)


def rmsprop(
    lr: Scalar | LrSchedule,
    *,
    alpha: Scalar = 0.9,
    eps: Scalar = 1e-8,
    momentum: Scalar = 0.0,
    nesterov: bool = False,
) -> Optimizer:
    """Make RMSProp: u = -lr g / sqrt(v + eps); b = u + momentum b; p += b.

    Args:
        lr: Learning rate, >= 0, or a schedule.
        alpha: Decay of the moving average v of the squared gradient, in [0, 1).
        eps: > 0, added under the root; torch adds it to the root.
        momentum: In [0, 1). The steps that it sums are scaled by the learning rate of their own time, which
            matters with a schedule; torch scales the sum.
        nesterov: Whether the step is p += u + momentum b instead.

    Source: Tieleman and Hinton, Coursera lecture 6.5, 2012;
    `learned_optimization/optimizers/optax_opts.py: RMSProp`.

    Example:
        >>> opt = rmsprop(lr=1e-3, momentum=0.9)
    """
    return chain(scale_by_rms(alpha=alpha, eps=eps), scale_by_lr(lr), trace(momentum, nesterov=nesterov))
