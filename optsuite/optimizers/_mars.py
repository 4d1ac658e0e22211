"""MARS-AdamW."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from optsuite._types import Params
from optsuite.optimizers._adam import scale_by_adam
from optsuite.optimizers._base import LrSchedule, Optimizer, Scalar, cast, chain, piece
from optsuite.optimizers._pieces import add_decayed_weights, scale_by_lr
from optsuite.tree import tree_map


class MarsState(NamedTuple):
    """State of `correct_by_mars`."""

    last: Params  # the gradients of the update before, shaped like params


def correct_by_mars(*, gamma: Scalar = 0.025, beta1: Scalar = 0.95) -> Optimizer:
    """Add a share of the gradient's change, then bring tensors whose norm is above 1 to that norm.

    c = g + gamma beta1 / (1 - beta1) (g - g_last); it gives c / max(1, |c|), a norm for each tensor.

    Args:
        gamma: >= 0, strength of the correction.
        beta1: In [0, 1), the decay of the average that comes next.

    Source: Yuan et al., https://arxiv.org/abs/2411.10438, algorithm 2 in its approximate form: g_last is the
    gradient of the batch before, not that of this batch at the parameters before. As in the authors' code,
    g_last is 0 at the first update.

    Example:
        >>> grads = {"weight": torch.tensor([3.0, 4.0])}
        >>> opt = correct_by_mars()
        >>> opt.update(grads, opt.init(grads), grads)[0]["weight"]
        tensor([0.6000, 0.8000])
    """
    factor = gamma * beta1 / (1 - beta1)

    def corrected(g: Tensor, last: Tensor) -> Tensor:
        c = g + (g - last) * cast(factor, g)
        return c / torch.clamp(torch.linalg.vector_norm(c), min=1)

    def init(params: Params) -> MarsState:
        return MarsState(tree_map(torch.zeros_like, params))

    def update(grads: Params, state: MarsState, _: Params) -> tuple[Params, MarsState]:
        return tree_map(corrected, grads, state.last), MarsState(grads)

    return piece(init, update)


def mars_adamw(
    lr: Scalar | LrSchedule,
    *,
    beta1: Scalar = 0.95,
    beta2: Scalar = 0.99,
    gamma: Scalar = 0.025,
    eps: Scalar = 1e-8,
    weight_decay: Scalar = 0.0,
) -> Optimizer:
    """Make MARS-AdamW: AdamW on gradients whose variance a share of their change reduces.

    It is `adamw` with c / max(1, |c|) for the gradient g, where
    c = g + gamma beta1 / (1 - beta1) (g - g_last).

    Args:
        lr: Learning rate, >= 0, or a schedule; it multiplies the decay too.
        beta1: Decay of the moving average of the corrected gradient, in [0, 1).
        beta2: Decay of the moving average of its square, in [0, 1).
        gamma: >= 0, strength of the correction; 0 leaves AdamW with clipped gradients.
        eps: > 0, added to the root.
        weight_decay: >= 0, for every tensor.

    Source: Yuan et al., https://arxiv.org/abs/2411.10438, algorithm 2 in its approximate form, for every
    tensor as in the paper; the authors' code leaves vectors to AdamW unless told `optimize_1d=True`.

    Example:
        >>> opt = mars_adamw(lr=3e-3)
    """
    return chain(
        correct_by_mars(gamma=gamma, beta1=beta1),
        scale_by_adam(beta1=beta1, beta2=beta2, eps=eps, eps_root=0.0),
        add_decayed_weights(weight_decay),
        scale_by_lr(lr),
    )
