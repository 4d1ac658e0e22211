"""Decoupled weight decay around any optimizer."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from optsuite._types import Params
from optsuite.optimizers._base import (
    LrSchedule,
    Optimizer,
    OptState,
    Scalar,
    cast,
    chain,
    evaluated_by,
    stateless,
)
from optsuite.optimizers._pieces import scale_by_lr
from optsuite.tree import tree_map


class DecayedState(NamedTuple):
    """State of `decayed`."""

    decay: OptState  # state of the learning rate that multiplies the decay
    inner: OptState  # state of the wrapped optimizer


def decayed(inner: Optimizer, lr: Scalar | LrSchedule, weight_decay: Scalar) -> Optimizer:
    """Let every parameter also lose the share lr weight_decay of itself at each update.

    Args:
        inner: The optimizer, whose gradients are not changed.
        lr: Learning rate that multiplies the decay, >= 0, or a schedule: the one of `inner`.
        weight_decay: >= 0, for every tensor.

    Source: Loshchilov and Hutter, https://arxiv.org/abs/1711.05101; as in `torch.optim.AdamW` but for
    rounding.

    Example:
        >>> params = {"weight": torch.ones(1)}
        >>> opt = decayed(sgd(lr=0.5), lr=0.5, weight_decay=0.1)
        >>> opt.update({"weight": torch.zeros(1)}, opt.init(params), params)[0]["weight"]
        tensor([-0.0500])
    """
    decay = chain(
        stateless(lambda _, params: tree_map(lambda p: p * cast(weight_decay, p), params)), scale_by_lr(lr)
    )

    def init(params: Params, *, num_steps: Scalar | None = None) -> DecayedState:
        return DecayedState(decay.init(params, num_steps=num_steps), inner.init(params, num_steps=num_steps))

    def update(
        grads: Params, state: DecayedState, params: Params, *, loss: Tensor | None = None
    ) -> tuple[Params, DecayedState]:
        updates, inner_state = inner.update(grads, state.inner, params, loss=loss)
        losses, decay_state = decay.update(grads, state.decay, params)
        return tree_map(torch.add, updates, losses), DecayedState(decay_state, inner_state)

    return Optimizer(init, update, evaluated_by(inner))
