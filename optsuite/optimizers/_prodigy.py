"""Prodigy."""

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
    add_scaled,
    cast,
    first_step,
    over_root,
)
from optsuite.optimizers._pieces import scale_by_lr
from optsuite.tree import tree_map


class ProdigyState(NamedTuple):
    """State of `prodigy`."""

    distance: Tensor  # (), the estimate d
    largest: Tensor  # (), the largest quotient so far, and at least d0
    numerator: Tensor  # (), r
    start: Params  # the initial parameters
    gradient_sum: Params  # s, shaped like params
    mu: Params  # moving average of d g, shaped like params
    nu: Params  # moving average of its square, shaped like params
    schedule: OptState  # state of the learning rate


def prodigy(
    lr: Scalar | LrSchedule = 1.0,
    *,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.999,
    d0: Scalar = 1e-6,
    d_coef: Scalar = 1.0,
    growth_rate: Scalar = float("inf"),
    eps: Scalar = 1e-8,
    weight_decay: Scalar = 0.0,
) -> Optimizer:
    """Make Prodigy: Adam that steps by an estimate d of the distance to the solution, one for all tensors.

    With b = sqrt(beta2), p0 the initial parameters, and the product and the norm over all tensors:
    r = b r + (d / d0) lr d <g, p0 - p>; s = b s + (d / d0) lr d g; m = beta1 m + (1 - beta1) d g;
    v = beta2 v + (1 - beta2) (d g)^2; p -= lr d (m / (sqrt(v) + d_new eps) + weight_decay p). Here d_new
    is the largest d_coef r / |s|_1 so far, but at least d0, and at most growth_rate d once it has left d0.

    Args:
        lr: Factor of d, >= 0, or a schedule.
        beta1: In [0, 1).
        beta2: In [0, 1).
        d0: The first d, > 0; small, since d never falls.
        d_coef: Factor of the quotients, > 0: what to tune in place of a learning rate.
        growth_rate: Largest growth of d in an update, >= 1.
        eps: > 0, added to the root.
        weight_decay: >= 0, for every tensor.

    Source: Mishchenko and Defazio, https://arxiv.org/abs/2306.06101, algorithm 4; order of operations and
    defaults of the authors' code, without its options for corrected averages and warm-ups.

    Example:
        >>> params = {"weight": torch.ones(2)}
        >>> opt = prodigy(d0=0.1)
        >>> opt.update({"weight": torch.tensor([2.0, -2.0])}, opt.init(params), params)[0]["weight"]
        tensor([-0.3162,  0.3162])
    """
    rule = _Rule(beta1, beta2, d0, d_coef, growth_rate, eps, weight_decay)
    schedule = scale_by_lr(lr)

    def init(params: Params, *, num_steps: Scalar | None = None) -> ProdigyState:
        return _begin(params, d0, schedule.init(params, num_steps=num_steps))

    def update(
        grads: Params, state: ProdigyState, params: Params, *, loss: Tensor | None = None
    ) -> tuple[Params, ProdigyState]:
        del loss
        rates, schedule_state = schedule.update({"lr": -first_step(params) - 1}, state.schedule, {})
        return rule.update(grads, state._replace(schedule=schedule_state), params, rates["lr"])

    return Optimizer(init, update)


class _Rule(NamedTuple):
    """Hyperparameters of Prodigy, and its update at a learning rate."""

    beta1: Scalar
    beta2: Scalar
    d0: Scalar
    d_coef: Scalar
    growth_rate: Scalar
    eps: Scalar
    weight_decay: Scalar

    def update(
        self, grads: Params, state: ProdigyState, params: Params, lr: Tensor
    ) -> tuple[Params, ProdigyState]:
        d, root = state.distance, self.beta2**0.5
        weight = d / self.d0 * lr * d
        numerator = root * state.numerator + weight * _descent(grads, params, state.start)
        sums = _sum(state.gradient_sum, grads, root, weight)
        norm = _total(tree_map(torch.abs, sums))
        quotient = self.d_coef * numerator / torch.where(norm == 0, 1.0, norm)
        largest = torch.maximum(state.largest, quotient)
        reached = torch.where(d == self.d0, torch.maximum(d, quotient), d)
        d_new = torch.minimum(largest, reached * self.growth_rate)
        rate = torch.where(norm == 0, 0.0, lr * d)  # no decay either until there is a gradient
        mu = _sum(state.mu, grads, self.beta1, d * (1 - self.beta1))
        nu = _sum(state.nu, tree_map(torch.square, grads), self.beta2, d * d * (1 - self.beta2))

        def step(m: Tensor, v: Tensor, p: Tensor) -> Tensor:
            direction = over_root(m, v, d_new * self.eps, eps_in_root=False)
            return add_scaled(direction, p, self.weight_decay) * cast(-rate, p)

        new = ProdigyState(d_new, largest, numerator, state.start, sums, mu, nu, state.schedule)
        return tree_map(step, mu, nu, params), new


def _begin(params: Params, d0: Scalar, schedule: OptState) -> ProdigyState:
    zero = first_step(params)
    # Steps may write over parameters: what is remembered of them needs a place of its own.
    start = tree_map(torch.clone, params)
    sums, mu, nu = (tree_map(torch.zeros_like, params) for _ in range(3))
    return ProdigyState(zero + d0, zero + d0, zero, start, sums, mu, nu, schedule)


def _sum(old: Params, new: Params, decay: Scalar, weight: Scalar) -> Params:
    """Return decay * old + weight * new."""
    return tree_map(lambda s, g: add_scaled(s * cast(decay, s), g, weight), old, new)


def _descent(grads: Params, params: Params, start: Params) -> Tensor:
    """Return the product of the gradients with the way back to the start, ()."""
    return _total(tree_map(lambda g, p, p0: g * (p0 - p), grads, params, start))


def _total(tree: Params) -> Tensor:
    """Return the sum of all elements of all tensors, () and float32."""
    wide = (leaf.sum(dtype=torch.promote_types(leaf.dtype, torch.float32)) for leaf in tree.values())
    return sum((total.float() for total in wide), start=first_step(tree))
