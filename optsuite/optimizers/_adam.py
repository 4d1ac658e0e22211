"""Adam, and with weight decay AdamW."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from optsuite._types import Params
from optsuite.optimizers._base import (
    LrSchedule,
    Optimizer,
    Scalar,
    average,
    average_square,
    cast,
    chain,
    decay_power,
    first_step,
    piece,
)
from optsuite.optimizers._pieces import add_decayed_weights, scale_by_lr
from optsuite.tree import tree_map


class AdamState(NamedTuple):
    """State of `scale_by_adam`."""

    step: Tensor  # (), updates made
    mu: Params  # moving average of the gradient, shaped like params
    nu: Params  # moving average of its square, shaped like params


def init_moments(params: Params, start: float = 0.0) -> AdamState:
    """Return the state before the first update, with both averages at `start`."""

    def filled() -> Params:
        return tree_map(lambda p: torch.full_like(p, start), params)

    return AdamState(first_step(params), filled(), filled())


def next_moments(state: AdamState, grads: Params, beta1: Scalar, beta2: Scalar) -> AdamState:
    """Return the state with one more gradient in both averages."""
    mu = average(state.mu, grads, beta1)
    nu = average_square(state.nu, grads, beta2)
    return AdamState(state.step + 1, mu, nu)


def scale_by_adam(
    *, beta1: Scalar = 0.9, beta2: Scalar = 0.999, eps: Scalar = 1e-8, eps_root: Scalar = 1e-8
) -> Optimizer:
    """Divide the mean gradient by its root mean square, both as moving averages.

    m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; at the t-th update it gives
    m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t) + eps_root) + eps).

    Args:
        beta1: In [0, 1).
        beta2: In [0, 1).
        eps: > 0, added to the root.
        eps_root: >= 0, added under the root.

    Source: optax, `_src/transform.py: scale_by_adam`, whose eps_root is 0 unless given.

    Example:
        >>> opt = chain(scale_by_adam(eps_root=0.0), scale_by_lr(1e-3))
    """

    def update(grads: Params, state: AdamState, _: Params) -> tuple[Params, AdamState]:
        new = next_moments(state, grads, beta1, beta2)
        return moment_ratio(new, beta1, beta2, eps, eps_root), new

    return piece(init_moments, update)


def moment_ratio(
    state: AdamState, beta1: Scalar, beta2: Scalar, eps: Scalar, eps_root: Scalar = 0.0
) -> Params:
    """Return mu / (sqrt(nu + eps_root) + eps), both averages corrected for their start at 0."""
    # The correction of mu multiplies the divisor instead, inside the terms that are scalars.
    correction = 1 - decay_power(beta1, state.step)
    nu_factor = correction * correction / (1 - decay_power(beta2, state.step))
    root_term = eps_root * correction * correction
    term = eps * correction

    def direction(m: Tensor, v: Tensor) -> Tensor:
        root = torch.sqrt(v * cast(nu_factor, v) + cast(root_term, v))
        return m / (root + cast(term, v))

    return tree_map(direction, state.mu, state.nu)


def adam(
    lr: Scalar | LrSchedule,
    *,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    eps_root: Scalar = 1e-8,
) -> Optimizer:
    """Make Adam: p -= lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t) + eps_root) + eps).

    Args:
        lr: Learning rate, >= 0, or a schedule.
        beta1: Decay of the moving average m of the gradient, in [0, 1).
        beta2: Decay of the moving average v of its square, in [0, 1).
        eps: > 0, added to the root.
        eps_root: >= 0, added under the root.

    Source: Kingma and Ba, https://arxiv.org/abs/1412.6980;
    `learned_optimization/optimizers/optax_opts.py: Adam`, whose eps_root is 1e-8. So gradients
    below about 1e-4 move less than under `torch.optim.Adam`, which is `eps_root=0.0`.

    Example:
        >>> opt = adam(lr=1e-3)
    """
    return chain(scale_by_adam(beta1=beta1, beta2=beta2, eps=eps, eps_root=eps_root), scale_by_lr(lr))


def adamw(
    lr: Scalar | LrSchedule,
    *,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    weight_decay: Scalar = 1e-4,
) -> Optimizer:
    """Make AdamW, Adam with decoupled weight decay: p -= lr (adam direction + weight_decay p).

    Args:
        lr: Learning rate, >= 0, or a schedule; it multiplies the decay too.
        beta1: Decay of the moving average of the gradient, in [0, 1).
        beta2: Decay of the moving average of its square, in [0, 1).
        eps: > 0, added to the root. Nothing is added under the root, unlike in `adam`.
        weight_decay: >= 0, for every tensor. The default is optax's; torch's is 1e-2.

    Source: Loshchilov and Hutter, https://arxiv.org/abs/1711.05101;
    `learned_optimization/optimizers/optax_opts.py: AdamW`.

    Example:
        >>> opt = adamw(lr=1e-3, weight_decay=1e-2)
    """
    return chain(
        scale_by_adam(beta1=beta1, beta2=beta2, eps=eps, eps_root=0.0),
        add_decayed_weights(weight_decay),
        scale_by_lr(lr),
    )
