"""Accumulation of gradients."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_map as pytree_map

from optsuite._types import Params
from optsuite.optimizers._base import Optimizer, OptState, Scalar, cast, evaluated_by, first_step
from optsuite.tree import tree_map


class AccumulateState(NamedTuple):
    """State of `accumulate`."""

    num_summed: Tensor  # (), gradients in the sums
    grad_sum: Params  # shaped like params
    loss_sum: Tensor  # ()
    inner: OptState  # state of the wrapped optimizer


def accumulate(inner: Optimizer, num_average: Scalar) -> Optimizer:
    """Run an optimizer on the mean of `num_average` gradients in a row; in between nothing moves.

    Every call costs a call of `inner`, whose result is used only once in `num_average` calls. When that is
    may differ from trial to trial, so no call can be left out.

    Args:
        inner: Optimizer that gets the mean gradient and the mean loss, and is told to expect
            `num_steps // num_average` updates.
        num_average: Number of gradients in a mean, an integer >= 1. Those left over at the end of a run are
            never used.

    Source: `learned_optimization/optimizers/gradient_accumulator.py`.

    Example:
        >>> params, grads = {"weight": torch.zeros(1)}, {"weight": torch.ones(1)}
        >>> opt = accumulate(sgd(lr=0.1), num_average=3)
        >>> state = opt.init(params)
        >>> for _ in range(3):
        ...     updates, state = opt.update(grads, state, params)
        ...     print(updates["weight"].item())
        0.0
        0.0
        -0.10000000149011612
    """

    def init(params: Params, *, num_steps: Scalar | None = None) -> AccumulateState:
        num_updates = None if num_steps is None else num_steps // num_average
        grad_sum = tree_map(torch.zeros_like, params)
        inner_state = inner.init(params, num_steps=num_updates)
        return AccumulateState(first_step(params), grad_sum, first_step(params), inner_state)

    def update(
        grads: Params, state: AccumulateState, params: Params, *, loss: Tensor | None = None
    ) -> tuple[Params, AccumulateState]:
        num_summed = state.num_summed + 1
        grad_sum = tree_map(torch.add, state.grad_sum, grads)
        loss_sum = state.loss_sum if loss is None else state.loss_sum + loss
        is_due = num_summed >= num_average

        mean = tree_map(lambda total: total / cast(num_average, total), grad_sum)
        mean_loss = None if loss is None else loss_sum / num_average
        updates, inner_state = inner.update(mean, state.inner, params, loss=mean_loss)

        def cleared(total: Tensor) -> Tensor:
            return torch.where(is_due, 0.0, total)

        kept = pytree_map(lambda new, old: torch.where(is_due, new, old), inner_state, state.inner)
        new = AccumulateState(cleared(num_summed), tree_map(cleared, grad_sum), cleared(loss_sum), kept)
        return tree_map(lambda u: torch.where(is_due, u, 0.0), updates), new

    return Optimizer(init, update, evaluated_by(inner))
