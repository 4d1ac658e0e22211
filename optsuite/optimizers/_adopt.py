"""ADOPT."""

from __future__ import annotations

import torch
from torch import Tensor

from optsuite._types import Params
from optsuite.optimizers._adam import AdamState, init_moments
from optsuite.optimizers._base import (
    LrSchedule,
    Optimizer,
    Scalar,
    average,
    average_square,
    cast,
    chain,
    piece,
)
from optsuite.optimizers._pieces import add_decayed_weights, scale_by_lr
from optsuite.tree import tree_map


def scale_by_adopt(*, beta1: Scalar = 0.9, beta2: Scalar = 0.9999, eps: Scalar = 1e-6) -> Optimizer:
    """Divide each gradient by the root mean square of those before it, clip it, then average.

    The first gradient g gives v = g^2 and a step of 0. Then, for t = 1, 2, ...:
    m = beta1 m + (1 - beta1) clip(g / max(sqrt(v), eps)) with the limits -t^(1/4) and t^(1/4), which it
    gives, and after that v = beta2 v + (1 - beta2) g^2.

    Args:
        beta1: In [0, 1).
        beta2: In [0, 1).
        eps: > 0, the least divisor.

    Source: Taniguchi et al., https://arxiv.org/abs/2411.02853, algorithm 2.

    Example:
        >>> opt = chain(scale_by_adopt(), scale_by_lr(1e-3))
    """

    def update(grads: Params, state: AdamState, _: Params) -> tuple[Params, AdamState]:
        limit = torch.pow(state.step, 0.25)  # 0 at the first update, which so makes no step

        def clipped(g: Tensor, v: Tensor) -> Tensor:
            bound = limit.to(g.dtype)
            return torch.clamp(g / torch.clamp(torch.sqrt(v), min=cast(eps, v)), -bound, bound)

        mu = average(state.mu, tree_map(clipped, grads, state.nu), beta1)
        later = average_square(state.nu, grads, beta2)
        nu = tree_map(lambda v, g: torch.where(state.step == 0, g * g, v), later, grads)
        return mu, AdamState(state.step + 1, mu, nu)

    return piece(init_moments, update)


def adopt(
    lr: Scalar | LrSchedule,
    *,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.9999,
    eps: Scalar = 1e-6,
    weight_decay: Scalar = 0.0,
) -> Optimizer:
    """Make ADOPT, an Adam that converges with any beta2: p -= lr (m + weight_decay p).

    m = beta1 m + (1 - beta1) clip(g / max(sqrt(v), eps)), where v is the mean of the squares *before* g and
    the limits of the t-th step are -t^(1/4) and t^(1/4). The first update moves by the decay only.

    Args:
        lr: Learning rate, >= 0, or a schedule; it multiplies the decay too.
        beta1: Decay of the moving average m of the scaled gradient, in [0, 1).
        beta2: Decay of the moving average v of the squared gradient, in [0, 1).
        eps: > 0, the least divisor.
        weight_decay: >= 0, for every tensor.

    Source: Taniguchi et al., https://arxiv.org/abs/2411.02853, algorithm 2 with the clipping of the authors'
    code, whose t is 1 at the first update that moves; in pytorch_optimizer it is 2 there.

    Example:
        >>> opt = adopt(lr=1e-3)
    """
    return chain(
        scale_by_adopt(beta1=beta1, beta2=beta2, eps=eps),
        add_decayed_weights(weight_decay),
        scale_by_lr(lr),
    )
