"""Pieces that several optimizers are chained from, the step by a learning rate last."""

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
    add_scaled,
    cast,
    first_step,
    piece,
    stateless,
)
from optsuite.tree import tree_map


def clip(limit: Scalar) -> Optimizer:
    """Bring every element into [-limit, limit].

    Args:
        limit: >= 0.

    Source: `learned_optimization/optimizers/base.py: GradientClipOptimizer`, whose limit is 3 by default.

    Example:
        >>> opt = chain(clip(3.0), adam(lr=1e-3))
    """

    def clipped(g: Tensor) -> Tensor:
        bound = g.new_zeros(()) + cast(limit, g)
        return torch.clamp(g, -bound, bound)

    return stateless(lambda grads, _: tree_map(clipped, grads))


def clip_by_global_norm(max_norm: Scalar) -> Optimizer:
    """Shrink all gradients together, so that the norm of all their elements is at most about `max_norm`.

    Args:
        max_norm: > 0. Gradients are multiplied by max_norm / (norm + 1e-6) where that is below 1.

    Source: `torch.nn.utils.clip_grad_norm_`. Infinite gradients become NaN, as there.

    Example:
        >>> opt = clip_by_global_norm(2.0)
        >>> grads = {"weight": torch.tensor([3.0, 0.0]), "bias": torch.tensor([4.0])}
        >>> opt.update(grads, opt.init(grads), grads)[0]["weight"]
        tensor([1.2000, 0.0000])
    """

    def update(grads: Params, _: Params) -> Params:
        if not grads:
            return grads
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in grads.values()]))
        return _scale(grads, torch.clamp(cast(max_norm, norm) / (norm + 1e-6), max=1))

    return stateless(update)


def add_decayed_weights(weight_decay: Scalar) -> Optimizer:
    """Add `weight_decay` times the parameter, for every tensor alike.

    Args:
        weight_decay: >= 0. Put before `scale_by_lr`, it is multiplied by the learning rate too.

    Source: optax, `transforms/_adding.py: add_decayed_weights`.

    Example:
        >>> params = {"weight": torch.ones(2)}
        >>> opt = add_decayed_weights(0.5)
        >>> opt.update({"weight": torch.zeros(2)}, opt.init(params), params)[0]["weight"]
        tensor([0.5000, 0.5000])
    """
    return stateless(
        lambda grads, params: tree_map(lambda g, p: add_scaled(g, p, weight_decay), grads, params)
    )


def scale_by_trust_ratio(*, trust_coefficient: Scalar = 1.0, min_norm: Scalar = 0.0) -> Optimizer:
    """Scale each tensor by the size of its parameter over its own: trust_coefficient |p| / |u|.

    If either norm is 0, such as at a fresh bias, u is passed on as it is.

    Args:
        trust_coefficient: >= 0.
        min_norm: Lower bound of both norms, >= 0.

    Source: optax, `_src/transform.py: scale_by_trust_ratio`.

    Example:
        >>> params = {"weight": torch.tensor([3.0, 4.0]), "bias": torch.zeros(1)}
        >>> grads = {"weight": torch.tensor([1.0, 0.0]), "bias": torch.ones(1)}
        >>> opt = scale_by_trust_ratio()
        >>> opt.update(grads, opt.init(params), params)[0]
        {'weight': tensor([5., 0.]), 'bias': tensor([1.])}
    """

    def norm(tensor: Tensor) -> Tensor:
        return torch.clamp(torch.linalg.vector_norm(tensor), min=cast(min_norm, tensor))

    def scale(u: Tensor, p: Tensor) -> Tensor:
        u_norm, p_norm = norm(u), norm(p)
        ratio = p_norm / u_norm * cast(trust_coefficient, p_norm)
        return u * torch.where((u_norm == 0) | (p_norm == 0), 1.0, ratio)

    return stateless(lambda grads, params: tree_map(scale, grads, params))


class TraceState(NamedTuple):
    """State of `trace`."""

    trace: Params  # decayed sum of the inputs, shaped like params


def trace(momentum: Scalar, *, nesterov: bool = False) -> Optimizer:
    """Replace the input g by the decayed sum of all inputs: b = g + momentum b.

    Args:
        momentum: In [0, 1). With 0 it passes on g, and still keeps b.
        nesterov: Whether to pass on g + momentum b, with the new b. It decides which operations run, so it
            is a Python bool, the same for all trials.

    Source: optax, `transforms/_accumulation.py: trace`. It is a sum, so there is no factor (1 - momentum).

    Example:
        >>> opt = trace(0.5)
        >>> grads = {"weight": torch.ones(1)}
        >>> state = opt.init(grads)
        >>> for _ in range(3):
        ...     updates, state = opt.update(grads, state, grads)
        >>> updates["weight"]
        tensor([1.7500])
    """

    def init(params: Params) -> TraceState:
        return TraceState(tree_map(torch.zeros_like, params))

    def update(grads: Params, state: TraceState, _: Params) -> tuple[Params, TraceState]:
        new = tree_map(lambda g, b: add_scaled(g, b, momentum), grads, state.trace)
        updates = tree_map(lambda g, b: add_scaled(g, b, momentum), grads, new) if nesterov else new
        return updates, TraceState(new)

    return piece(init, update)


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
