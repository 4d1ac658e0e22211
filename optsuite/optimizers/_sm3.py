"""SM3."""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from torch import Tensor

from optsuite._types import Params
from optsuite.optimizers._base import LrSchedule, Optimizer, Scalar, average, cast, chain, piece
from optsuite.optimizers._pieces import scale_by_lr
from optsuite.tree import tree_map


class SM3State(NamedTuple):
    """State of `scale_by_sm3`."""

    covers: dict[str, tuple[Tensor, ...]]  # one for each axis, of length 1 along all other axes
    mu: Params  # moving average of the direction, shaped like params


def scale_by_sm3(*, momentum: Scalar = 0.9, beta2: Scalar = 1.0, eps: Scalar = 1e-8) -> Optimizer:
    """Divide by the root of a sum of squares, of which only the maxima along each axis are kept.

    a = beta2 min(v) + c g^2, where v are vectors, one for each axis, broadcast, and c = 1 - beta2, or 1 if
    beta2 is 1; u = g / sqrt(a + eps), 0 where a is 0; m = momentum m + (1 - momentum) u, which is the result.
    Then the vector of each axis becomes the maximum of a over all other axes.

    Args:
        momentum: In [0, 1).
        beta2: In [0, 1]; at 1 the squares add up.
        eps: > 0, added under the root.

    Source: optax, `_src/transform.py: scale_by_sm3`. A 0-d tensor counts as a vector of one number.

    Example:
        >>> opt = chain(scale_by_sm3(), scale_by_lr(0.1))
    """

    def init(params: Params) -> SM3State:
        covers = {name: _covers(torch.zeros_like(p)) for name, p in params.items()}
        return SM3State(covers, tree_map(torch.zeros_like, params))

    def update(grads: Params, state: SM3State, _: Params) -> tuple[Params, SM3State]:
        gain = 1 - beta2 + (beta2 == 1)  # no branch: under vmap a tensor has no single truth

        def accumulate(name: str, g: Tensor) -> Tensor:
            least = functools.reduce(torch.minimum, state.covers[name])
            return least * cast(beta2, g) + g * g * cast(gain, g)

        def direction(g: Tensor, a: Tensor) -> Tensor:
            return g * torch.where(a > 0, torch.rsqrt(a + cast(eps, a)), 0.0)

        sums = {name: accumulate(name, g) for name, g in grads.items()}
        mu = average(state.mu, tree_map(direction, grads, sums), momentum)
        return mu, SM3State({name: _covers(a) for name, a in sums.items()}, mu)

    return piece(init, update)


def _covers(sums: Tensor) -> tuple[Tensor, ...]:
    """Return, for each axis, the maxima of `sums` over all other axes; a vector is its own maxima."""
    if sums.ndim < 2:
        return (sums,)
    axes = range(sums.ndim)
    return tuple(sums.amax([other for other in axes if other != axis], keepdim=True) for axis in axes)


def sm3(lr: Scalar | LrSchedule, *, momentum: Scalar = 0.9, beta2: Scalar = 1.0) -> Optimizer:
    """Make SM3: AdaGrad in little memory, with one accumulator for each row and each column, and momentum.

    Args:
        lr: Learning rate, >= 0, or a schedule.
        momentum: Decay of the moving average of the direction, in [0, 1): new ones have weight 1 - momentum.
        beta2: In [0, 1]; at 1 squared gradients add up as in AdaGrad, below they are averaged.

    Source: Anil et al., https://arxiv.org/abs/1901.11150;
    `learned_optimization/optimizers/optax_opts.py: SM3`.

    Example:
        >>> opt = sm3(lr=0.1)
    """
    return chain(scale_by_sm3(momentum=momentum, beta2=beta2), scale_by_lr(lr))
