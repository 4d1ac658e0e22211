"""Schedule-Free gradient descent and AdamW."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from optsuite._types import Params
from optsuite.optimizers._base import (
    Optimizer,
    OptState,
    Scalar,
    add_scaled,
    average_square,
    cast,
    chain,
    decay_power,
    first_step,
    over_root,
    piece,
)
from optsuite.optimizers._pieces import add_decayed_weights
from optsuite.tree import tree_map


class ScheduleFreeState(NamedTuple):
    """State of a Schedule-Free method."""

    step: Tensor  # (), updates made
    weight_sum: Tensor  # (), weights of all z in their mean x
    z: Params  # where steps without averaging lead, shaped like params
    direction: OptState


class _SquareState(NamedTuple):
    step: Tensor  # (), updates made
    nu: Params  # moving average of the squared gradient, shaped like params


def _over_mean_square(beta2: Scalar, eps: Scalar) -> Optimizer:
    """Divide by the root of the corrected mean square: v = beta2 v + (1 - beta2) g^2."""

    def init(params: Params) -> _SquareState:
        return _SquareState(first_step(params), tree_map(torch.zeros_like, params))

    def update(grads: Params, state: _SquareState, _: Params) -> tuple[Params, _SquareState]:
        new = _SquareState(state.step + 1, average_square(state.nu, grads, beta2))
        correction = 1 - decay_power(beta2, new.step)
        updates = tree_map(
            lambda g, v: over_root(g, v / cast(correction, v), eps, eps_in_root=False), grads, new.nu
        )
        return updates, new

    return piece(init, update)


def _averaged_steps(direction: Optimizer, lr: Scalar, beta: Scalar, warmup_steps: Scalar) -> Optimizer:
    """Make z -= lr_t u, of which x is the mean weighted by lr_t^2; train y = (1 - beta) z + beta x.

    Args:
        direction: Gives u from the gradient at y.
        lr: The learning rate after the warm-up.
        beta: In (0, 1).
        warmup_steps: lr_t is lr t / warmup_steps up to there.
    """

    def init(params: Params) -> ScheduleFreeState:
        zero = first_step(params)
        # Steps may write over parameters: z needs a place of its own.
        return ScheduleFreeState(zero, zero, tree_map(torch.clone, params), direction.init(params))

    def update(grads: Params, state: ScheduleFreeState, y: Params) -> tuple[Params, ScheduleFreeState]:
        step = state.step + 1
        share = torch.clamp(step / warmup_steps, max=1)  # infinite before it is clamped if there is none
        weight_sum = state.weight_sum + share * share
        newest = share * share / weight_sum
        u, direction_state = direction.update(grads, state.direction, y)
        rate = share * lr

        def towards_z(y: Tensor, z: Tensor, u: Tensor) -> Tensor:
            return add_scaled((z - y) * cast(newest, y), u, rate * (beta * (1 - newest) - 1))

        z = tree_map(lambda z, u: add_scaled(z, u, -rate), state.z, u)
        return tree_map(towards_z, y, state.z, u), ScheduleFreeState(step, weight_sum, z, direction_state)

    def evaluated(state: ScheduleFreeState, y: Params) -> Params:
        return tree_map(lambda y, z: torch.lerp(y, z, cast(1 - 1 / beta, y)), y, state.z)

    return piece(init, update)._replace(evaluated=evaluated)


def schedule_free_sgd(
    lr: Scalar, *, momentum: Scalar = 0.9, warmup_steps: Scalar = 0.0, weight_decay: Scalar = 0.0
) -> Optimizer:
    """Make Schedule-Free SGD, whose result is a mean that needs no falling learning rate.

    Parameters that are trained are y = (1 - momentum) z + momentum x, where z -= lr_t (g + weight_decay y)
    with the gradient g at y, and x, the parameters to evaluate, is the mean of all z weighted by lr_t^2.
    In place of a state for x, `evaluated` computes it from y and z.

    Args:
        lr: Learning rate, >= 0, at its best far above that of SGD; lr_t once the warm-up is over.
        momentum: Share of x in y, in (0, 1).
        warmup_steps: Number of updates over which lr_t rises in a straight line, >= 0.
        weight_decay: >= 0, for every tensor, at y.

    Source: Defazio et al., https://arxiv.org/abs/2405.15682; the authors' package schedulefree:
    `SGDScheduleFree`, with its defaults r=0 and weight_lr_power=2.

    Example:
        >>> params = {"weight": torch.ones(1)}
        >>> opt = schedule_free_sgd(lr=1.0, momentum=0.5)
        >>> state = opt.init(params)
        >>> for grad in (0.5, 0.25):
        ...     updates, state = opt.update({"weight": torch.tensor([grad])}, state, params)
        ...     params = {"weight": params["weight"] + updates["weight"]}
        >>> opt.evaluated(state, params)["weight"]  # the mean of 0.5 and 0.25
        tensor([0.3750])
    """
    return _averaged_steps(add_decayed_weights(weight_decay), lr, momentum, warmup_steps)


def schedule_free_adamw(
    lr: Scalar,
    *,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.999,
    warmup_steps: Scalar = 0.0,
    eps: Scalar = 1e-8,
    weight_decay: Scalar = 0.0,
) -> Optimizer:
    """Make Schedule-Free AdamW, whose result is a mean that needs no falling learning rate.

    Parameters that are trained are y = (1 - beta1) z + beta1 x, where
    z -= lr_t (g / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay y) with the gradient g at y and
    v = beta2 v + (1 - beta2) g^2; x, the parameters to evaluate, is the mean of all z weighted by lr_t^2.

    Args:
        lr: Learning rate, >= 0; lr_t once the warm-up is over.
        beta1: Share of x in y, in (0, 1).
        beta2: Decay of v, in [0, 1).
        warmup_steps: Number of updates over which lr_t rises in a straight line, >= 0.
        eps: > 0, added to the root.
        weight_decay: >= 0, for every tensor, at y.

    Source: Defazio et al., https://arxiv.org/abs/2405.15682, algorithm 1; the authors' package schedulefree:
    `AdamWScheduleFree`, with its defaults r=0 and weight_lr_power=2.

    Example:
        >>> opt = schedule_free_adamw(lr=2.5e-3, warmup_steps=100)
    """
    direction = chain(_over_mean_square(beta2, eps), add_decayed_weights(weight_decay))
    return _averaged_steps(direction, lr, beta1, warmup_steps)
