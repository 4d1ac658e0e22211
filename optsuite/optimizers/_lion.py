"""Lion."""

from __future__ import annotations

from typing import NamedTuple

import torch

from optsuite._types import Params
from optsuite.optimizers._base import LrSchedule, Optimizer, Scalar, average, chain, piece, signs
from optsuite.optimizers._pieces import add_decayed_weights, scale_by_lr
from optsuite.tree import tree_map


class LionState(NamedTuple):
    """State of `scale_by_lion`."""

    mu: Params  # moving average of the gradient, shaped like params


def scale_by_lion(*, beta1: Scalar = 0.9, beta2: Scalar = 0.99) -> Optimizer:
    """Replace gradients by the signs of their mean, in which the newest has a weight of its own.

    It gives sign(beta1 m + (1 - beta1) g), then m = beta2 m + (1 - beta2) g.

    Args:
        beta1: In [0, 1).
        beta2: In [0, 1).

    Source: Chen et al., https://arxiv.org/abs/2302.06675, program 1. The sign of NaN is NaN here, so that a
    trial with such gradients diverges; `torch.sign` makes it 0.

    Example:
        >>> opt = chain(scale_by_lion(), scale_by_lr(1e-4))
    """

    def init(params: Params) -> LionState:
        return LionState(tree_map(torch.zeros_like, params))

    def update(grads: Params, state: LionState, _: Params) -> tuple[Params, LionState]:
        return signs(average(state.mu, grads, beta1)), LionState(average(state.mu, grads, beta2))

    return piece(init, update)


def lion(
    lr: Scalar | LrSchedule, *, beta1: Scalar = 0.9, beta2: Scalar = 0.99, weight_decay: Scalar = 0.0
) -> Optimizer:
    """Make Lion: p -= lr (sign(beta1 m + (1 - beta1) g) + weight_decay p); m = beta2 m + (1 - beta2) g.

    Every element moves by lr, so good rates are three to ten times smaller than Adam's.

    Args:
        lr: Learning rate, >= 0, or a schedule; it multiplies the decay too.
        beta1: Weight of m in the step, in [0, 1).
        beta2: Decay of the moving average m of the gradient g, in [0, 1).
        weight_decay: >= 0, for every tensor.

    Source: Chen et al., https://arxiv.org/abs/2302.06675, which found it by search.

    Example:
        >>> params = {"weight": torch.ones(2)}
        >>> opt = lion(lr=0.1)
        >>> opt.update({"weight": torch.tensor([2.0, -3.0])}, opt.init(params), params)[0]["weight"]
        tensor([-0.1000,  0.1000])
    """
    return chain(scale_by_lion(beta1=beta1, beta2=beta2), add_decayed_weights(weight_decay), scale_by_lr(lr))
