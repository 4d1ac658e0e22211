"""The last piece of most optimizers: the step against the gradient, by a learning rate or its schedule."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from optsuite._types import Params
from optsuite.errors import HParamError
from optsuite.optimizers._base import (
    HorizonLrSchedule,
    LrSchedule,
    Optimizer,
    Scalar,
    StepLrSchedule,
    cast,
    first_step,
    piece,
    stateless,
)
from optsuite.tree import tree_map


class StepLrState(NamedTuple):
    """State of `scale_by_lr` with a schedule of the number of updates."""

    step: Tensor  # (), updates made


class HorizonLrState(NamedTuple):
    """State of `scale_by_lr` with a schedule of the progress."""

    step: Tensor  # (), updates made
    num_steps: Tensor  # (), updates that will be made


def scale_by_lr(lr: Scalar | LrSchedule) -> Optimizer:
    """Multiply by minus the learning rate.

    Args:
        lr: >= 0, or a schedule. A schedule is called with the number of updates made *before* this
            one: 0, 1, 2, ...

    Raises:
        HParamError: Raised by `init` if the schedule follows the progress of the run and `num_steps` is None.

    Example:
        >>> opt = scale_by_lr(0.1)
        >>> opt.update({"weight": torch.ones(2)}, opt.init({}), {})[0]["weight"]
        tensor([-0.1000, -0.1000])
    """
    if isinstance(lr, HorizonLrSchedule):
        return _scale_by_progress(lr)
    if callable(lr):
        return _scale_by_schedule(lr)
    factor = -lr
    return stateless(lambda grads, _: _scale(grads, factor))


def _scale_by_schedule(schedule: StepLrSchedule) -> Optimizer:
    def init(params: Params) -> StepLrState:
        return StepLrState(first_step(params))

    def update(grads: Params, state: StepLrState, _: Params) -> tuple[Params, StepLrState]:
        return _scale(grads, -schedule(state.step)), StepLrState(state.step + 1)

    return piece(init, update)


def _scale_by_progress(schedule: HorizonLrSchedule) -> Optimizer:
    def init(params: Params, *, num_steps: Scalar | None = None) -> HorizonLrState:
        if num_steps is None:
            raise HParamError(
                "the learning rate follows the progress of the run: `init` needs `num_steps`, the number of "
                "updates that will be made (got None)"
            )
        step = first_step(params)
        return HorizonLrState(step, step + num_steps)

    def update(
        grads: Params, state: HorizonLrState, params: Params, *, loss: Tensor | None = None
    ) -> tuple[Params, HorizonLrState]:
        del params, loss
        # A run of num_steps 0 makes one update all the same.
        progress = torch.clamp(state.step / torch.clamp(state.num_steps, min=1), max=1)
        return _scale(grads, -schedule.rate(progress)), state._replace(step=state.step + 1)

    return Optimizer(init, update)


def _scale(grads: Params, factor: Scalar) -> Params:
    return tree_map(lambda g: g * cast(factor, g), grads)
