"""The last piece of most optimizers: the step against the gradient, by a rate or a schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from optsuite.optimizers._base import (
    Optimizer,
    Scalar,
    Schedule,
    cast,
    first_step,
    piece,
    stateless,
)
from optsuite.tree import tree_map

if TYPE_CHECKING:
    from torch import Tensor

    from optsuite._types import Params


class ScheduleState(NamedTuple):
    """State of `scale_by_lr` with a schedule."""

    step: Tensor  # (), updates made


def scale_by_lr(lr: Scalar | Schedule) -> Optimizer:
    """Multiply by minus the learning rate.

    Args:
        lr: >= 0, or a schedule. A schedule is called with the number of updates made *before* this
            one: 0, 1, 2, ...

    Example:
        >>> opt = scale_by_lr(0.1)
        >>> opt.update({"weight": torch.ones(2)}, opt.init({}), {})[0]["weight"]
        tensor([-0.1000, -0.1000])
    """
    if callable(lr):
        return _scale_by_schedule(lr)
    factor = -lr
    return stateless(lambda grads, _: _scale(grads, factor))


def _scale_by_schedule(schedule: Schedule) -> Optimizer:
    def init(params: Params) -> ScheduleState:
        return ScheduleState(first_step(params))

    def update(grads: Params, state: ScheduleState, _: Params) -> tuple[Params, ScheduleState]:
        return _scale(grads, -schedule(state.step)), ScheduleState(state.step + 1)

    return piece(init, update)


def _scale(grads: Params, factor: Scalar) -> Params:
    return tree_map(lambda g: g * cast(factor, g), grads)
