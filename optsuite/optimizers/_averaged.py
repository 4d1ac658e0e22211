"""Averages of the parameters that an optimizer goes through."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from optsuite._types import Params
from optsuite.optimizers._base import (
    Optimizer,
    OptState,
    Scalar,
    average,
    decay_power,
    evaluated_by,
    first_step,
)
from optsuite.tree import tree_map


class AveragedState(NamedTuple):
    """State of `averaged`."""

    step: Tensor  # (), updates made
    average: Params  # shaped like params
    inner: OptState  # state of the wrapped optimizer


def averaged(inner: Optimizer, decay: Scalar) -> Optimizer:
    """Run an optimizer as it is, and keep the moving average of the parameters after each of its updates.

    The i-th of t parameters has the weight decay^(t-i) (1 - decay) / (1 - decay^t), so those before the
    first update have none. The average is in the state and nothing else depends on it; what is evaluated is
    what the optimizer itself says.

    Args:
        inner: The optimizer.
        decay: In [0, 1); with 0 the average is the latest parameters.

    Example:
        >>> params, grads = {"weight": torch.zeros(1)}, {"weight": torch.ones(1)}
        >>> opt = averaged(sgd(lr=1.0), decay=0.5)
        >>> state = opt.init(params)
        >>> for _ in range(2):
        ...     updates, state = opt.update(grads, state, params)
        ...     params = {"weight": params["weight"] + updates["weight"]}
        >>> state.average["weight"]  # of -1 and -2
        tensor([-1.6667])
    """

    def init(params: Params, *, num_steps: Scalar | None = None) -> AveragedState:
        return AveragedState(first_step(params), params, inner.init(params, num_steps=num_steps))

    def update(
        grads: Params, state: AveragedState, params: Params, *, loss: Tensor | None = None
    ) -> tuple[Params, AveragedState]:
        updates, inner_state = inner.update(grads, state.inner, params, loss=loss)
        step = state.step + 1
        kept = 1 - (1 - decay) / (1 - decay_power(decay, step))
        new = average(state.average, tree_map(torch.add, params, updates), kept)
        return updates, AveragedState(step, new, inner_state)

    return Optimizer(init, update, evaluated_by(inner))


def ema(inner: Optimizer, decay: Scalar) -> Optimizer:
    """Run an optimizer as it is, and evaluate at the moving average of the parameters after its updates.

    The average starts as the parameters after the first update; then a = decay a + (1 - decay) p.

    Args:
        inner: The optimizer. Where it has parameters to evaluate of its own, it is those that are averaged.
        decay: In [0, 1); with 0 the average is the latest parameters.

    Source: `torch.optim.swa_utils.AveragedModel` with `get_ema_multi_avg_fn`.

    Example:
        >>> params, grads = {"weight": torch.zeros(1)}, {"weight": torch.ones(1)}
        >>> opt = ema(sgd(lr=1.0), decay=0.5)
        >>> state = opt.init(params)
        >>> for _ in range(2):
        ...     updates, state = opt.update(grads, state, params)
        ...     params = {"weight": params["weight"] + updates["weight"]}
        >>> opt.evaluated(state, params)["weight"]  # of -1 and -2
        tensor([-1.5000])
    """

    def init(params: Params, *, num_steps: Scalar | None = None) -> AveragedState:
        inner_state = inner.init(params, num_steps=num_steps)
        own = tree_map(torch.clone, params)  # compiled steps write over what it was
        return AveragedState(first_step(params), own, inner_state)

    def update(
        grads: Params, state: AveragedState, params: Params, *, loss: Tensor | None = None
    ) -> tuple[Params, AveragedState]:
        updates, inner_state = inner.update(grads, state.inner, params, loss=loss)
        new = inner.evaluated(inner_state, tree_map(torch.add, params, updates))
        kept = torch.where(state.step == 0, 0.0, decay)
        return updates, AveragedState(state.step + 1, average(state.average, new, kept), inner_state)

    return Optimizer(init, update, lambda state, _: state.average)
