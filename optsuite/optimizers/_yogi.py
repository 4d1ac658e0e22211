"""Yogi."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from optsuite._types import Params
from optsuite.optimizers._adam import AdamState, init_moments, moment_ratio
from optsuite.optimizers._base import LrSchedule, Optimizer, Scalar, add_scaled, average, chain, piece
from optsuite.optimizers._pieces import scale_by_lr
from optsuite.tree import tree_map

_START = 1e-6


def scale_by_yogi(*, beta1: Scalar = 0.9, beta2: Scalar = 0.999, eps: Scalar = 1e-3) -> Optimizer:
    """Replace gradients by Adam's quotient, with a v that moves by g^2 and not by its distance to g^2.

    m = beta1 m + (1 - beta1) g; v = v - (1 - beta2) sign(v - g^2) g^2; at the t-th update it gives
    m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps).

    Args:
        beta1: In [0, 1).
        beta2: In [0, 1).
        eps: > 0, added to the root.

    Source: optax, `_src/transform.py: scale_by_yogi`. Both m and v start at 1e-6 and are corrected as if
    they had started at 0, so that parameters move a little even before their first gradient.

    Example:
        >>> opt = chain(scale_by_yogi(), scale_by_lr(1e-2))
    """

    def update(grads: Params, state: AdamState, _: Params) -> tuple[Params, AdamState]:
        def follow(v: Tensor, g: Tensor) -> Tensor:
            square = g * g
            return add_scaled(v, torch.sign(square - v) * square, 1 - beta2)

        mu = average(state.mu, grads, beta1)
        new = AdamState(state.step + 1, mu, tree_map(follow, state.nu, grads))
        return moment_ratio(new, beta1, beta2, eps), new

    return piece(functools.partial(init_moments, start=_START), update)


def yogi(
    lr: Scalar | LrSchedule, *, beta1: Scalar = 0.9, beta2: Scalar = 0.999, eps: Scalar = 1e-3
) -> Optimizer:
    """Make Yogi: Adam with v -= (1 - beta2) sign(v - g^2) g^2, which forgets large gradients slowly.

    Args:
        lr: Learning rate, >= 0, or a schedule.
        beta1: Decay of the moving average of the gradient g, in [0, 1).
        beta2: Decay of v, in [0, 1).
        eps: > 0, added to the root of v.

    Source: Zaheer et al., 2018, "Adaptive Methods for Nonconvex Optimization";
    `learned_optimization/optimizers/optax_opts.py: Yogi`.

    Example:
        >>> opt = yogi(lr=1e-2)
    """
    return chain(scale_by_yogi(beta1=beta1, beta2=beta2, eps=eps), scale_by_lr(lr))
