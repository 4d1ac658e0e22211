"""Signum."""

from __future__ import annotations

from typing import NamedTuple

import torch

from optsuite._types import Params
from optsuite.optimizers._base import LrSchedule, Optimizer, Scalar, average, chain, piece, signs
from optsuite.optimizers._pieces import add_decayed_weights, scale_by_lr
from optsuite.tree import tree_map


class SignumState(NamedTuple):
    """State of `scale_by_signum`."""

    mu: Params  # moving average of the gradient, shaped like params


def scale_by_signum(momentum: Scalar = 0.9) -> Optimizer:
    """Replace gradients by the signs of their moving average: m = momentum m + (1 - momentum) g.

    Args:
        momentum: In [0, 1); 0 gives the signs of the gradients.

    Source: Bernstein et al., https://arxiv.org/abs/1802.04434, algorithm 2. The sign of NaN is NaN here.

    Example:
        >>> opt = chain(scale_by_signum(), scale_by_lr(1e-3))
    """

    def init(params: Params) -> SignumState:
        return SignumState(tree_map(torch.zeros_like, params))

    def update(grads: Params, state: SignumState, _: Params) -> tuple[Params, SignumState]:
        mu = average(state.mu, grads, momentum)
        return signs(mu), SignumState(mu)

    return piece(init, update)


def signum(lr: Scalar | LrSchedule, *, momentum: Scalar = 0.9, weight_decay: Scalar = 0.0) -> Optimizer:
    """Make Signum: m = momentum m + (1 - momentum) g; p -= lr (sign(m) + weight_decay p).

    Args:
        lr: Learning rate, >= 0, or a schedule; it multiplies the decay too.
        momentum: Decay of the moving average m of the gradient g, in [0, 1); 0 gives SignSGD.
        weight_decay: >= 0, for every tensor.

    Source: Bernstein et al., https://arxiv.org/abs/1802.04434, algorithm 2.

    Example:
        >>> params = {"weight": torch.ones(2)}
        >>> opt = signum(lr=0.1)
        >>> opt.update({"weight": torch.tensor([2.0, -3.0])}, opt.init(params), params)[0]["weight"]
        tensor([-0.1000,  0.1000])
    """
    return chain(scale_by_signum(momentum), add_decayed_weights(weight_decay), scale_by_lr(lr))
