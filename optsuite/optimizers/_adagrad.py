"""AdaGrad."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from optsuite._types import Params
from optsuite.optimizers._base import LrSchedule, Optimizer, Scalar, cast, chain, over_root, piece
from optsuite.optimizers._pieces import scale_by_lr
from optsuite.tree import tree_map


class AdaGradState(NamedTuple):
    """State of `scale_by_adagrad`."""

    sum_of_squares: Params  # sum over all gradients so far, shaped like params


def scale_by_adagrad(
    *, initial_accumulator_value: Scalar = 0.1, eps: Scalar = 1e-7, eps_in_root: bool = True
) -> Optimizer:
    """Divide by the root of the sum of squares: a = a + g^2, giving g / sqrt(a + eps).

    Args:
        initial_accumulator_value: >= 0, where a starts.
        eps: > 0.
        eps_in_root: Whether eps is added under the root, or to the root. It is the same for all trials.

    Source: optax, `_src/transform.py: scale_by_rss`.

    Example:
        >>> opt = chain(scale_by_adagrad(), scale_by_lr(1e-2))
    """

    def init(params: Params) -> AdaGradState:
        def start(p: Tensor) -> Tensor:
            return torch.zeros_like(p) + cast(initial_accumulator_value, p)

        return AdaGradState(tree_map(start, params))

    def update(grads: Params, state: AdaGradState, _: Params) -> tuple[Params, AdaGradState]:
        def direction(g: Tensor, a: Tensor) -> Tensor:
            return over_root(g, a, eps, eps_in_root=eps_in_root)

        total = tree_map(lambda a, g: torch.addcmul(a, g, g), state.sum_of_squares, grads)
        return tree_map(direction, grads, total), AdaGradState(total)

    return piece(init, update)


def adagrad(
    lr: Scalar | LrSchedule, *, initial_accumulator_value: Scalar = 0.1, eps: Scalar = 1e-7
) -> Optimizer:
    """Make AdaGrad: a += g^2; p -= lr g / sqrt(a + eps).

    Args:
        lr: Learning rate, >= 0, or a schedule.
        initial_accumulator_value: >= 0, where the sum a starts; 0.1 as in optax, 0 in torch.
        eps: > 0, added under the root; torch adds it to the root.

    Source: Duchi et al., https://jmlr.org/papers/v12/duchi11a.html;
    `learned_optimization/optimizers/optax_opts.py: AdaGrad`.

    Example:
        >>> opt = adagrad(lr=1e-2)
    """
    return chain(
        scale_by_adagrad(initial_accumulator_value=initial_accumulator_value, eps=eps), scale_by_lr(lr)
    )
