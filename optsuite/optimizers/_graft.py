"""Grafting: steps of the size of one optimizer's in the direction of another's."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from optsuite._types import Params
from optsuite.optimizers._base import Optimizer, OptState, Scalar, cast
from optsuite.tree import tree_map

# Added to the norm of the direction, so that a step of length 0 gives 0 and not NaN.
_EPS = 1e-16


class GraftState(NamedTuple):
    """State of `graft`."""

    magnitude: OptState
    direction: OptState


def graft(magnitude: Optimizer, direction: Optimizer) -> Optimizer:
    """Step in the direction of one optimizer, as far as another would: |m| d / |d|.

    The norms are over all tensors together. Both optimizers see every gradient, at the parameters that the
    grafted steps lead to. These are evaluated too, whatever the two would have evaluated after steps of
    their own.

    Args:
        magnitude: Optimizer that steps by m.
        direction: Optimizer that steps by d; its learning rate does not matter.

    Source: Agarwal et al., https://openreview.net/forum?id=FpKgG31Z_i9;
    `learned_optimization/optimizers/base.py: GraftedOptimizer`, which gives NaN where d is 0.

    Example:
        >>> params, grads = {"weight": torch.zeros(2)}, {"weight": torch.tensor([3.0, 4.0])}
        >>> opt = graft(sgd(lr=0.1), adam(lr=1.0))
        >>> opt.update(grads, opt.init(params), params)[0]["weight"]
        tensor([-0.3536, -0.3536])
    """

    def init(params: Params, *, num_steps: Scalar | None = None) -> GraftState:
        return GraftState(
            magnitude.init(params, num_steps=num_steps), direction.init(params, num_steps=num_steps)
        )

    def update(
        grads: Params, state: GraftState, params: Params, *, loss: Tensor | None = None
    ) -> tuple[Params, GraftState]:
        sizes, magnitude_state = magnitude.update(grads, state.magnitude, params, loss=loss)
        directions, direction_state = direction.update(grads, state.direction, params, loss=loss)
        factor = _norm(sizes) / (_norm(directions) + _EPS)
        updates = tree_map(lambda d: d * cast(factor, d), directions)
        return updates, GraftState(magnitude_state, direction_state)

    return Optimizer(init, update)


def resize(direction: Tensor, like: Tensor) -> Tensor:
    """Return `direction`, scaled to the norm of `like`."""
    norm = torch.linalg.vector_norm
    factor: Tensor = norm(like) / (norm(direction) + _EPS)
    return direction * factor


def _norm(tree: Params) -> Tensor:
    def square(leaf: Tensor) -> Tensor:
        wide = torch.promote_types(leaf.dtype, torch.float32)
        norm: Tensor = torch.linalg.vector_norm(leaf, dtype=wide)
        return norm.square()

    return torch.sqrt(sum(map(square, tree.values()), start=torch.zeros(())))
