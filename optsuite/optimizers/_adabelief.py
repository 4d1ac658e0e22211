"""AdaBelief."""

from __future__ import annotations

import torch

from optsuite._types import Params
from optsuite.optimizers._adam import AdamState, init_moments, moment_ratio
from optsuite.optimizers._base import (
    LrSchedule,
    Optimizer,
    Scalar,
    average,
    average_square,
    cast,
    chain,
    piece,
)
from optsuite.optimizers._pieces import scale_by_lr
from optsuite.tree import tree_map


def scale_by_belief(
    *, beta1: Scalar = 0.9, beta2: Scalar = 0.999, eps: Scalar = 1e-16, eps_root: Scalar = 1e-16
) -> Optimizer:
    """Divide the mean gradient by the root mean square of its error as a prediction of the gradient.

    m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) (g - m)^2 + eps_root, with the new m; at the
    t-th update it gives m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps).

    Args:
        beta1: In [0, 1).
        beta2: In [0, 1).
        eps: > 0, added to the root.
        eps_root: >= 0, added to v, where it stays, at every update.

    Source: optax, `_src/transform.py: scale_by_belief`.

    Example:
        >>> opt = chain(scale_by_belief(), scale_by_lr(1e-3))
    """

    def update(grads: Params, state: AdamState, _: Params) -> tuple[Params, AdamState]:
        mu = average(state.mu, grads, beta1)
        surprise = tree_map(torch.sub, grads, mu)
        nu = tree_map(lambda v: v + cast(eps_root, v), average_square(state.nu, surprise, beta2))
        new = AdamState(state.step + 1, mu, nu)
        return moment_ratio(new, beta1, beta2, eps), new

    return piece(init_moments, update)


def adabelief(
    lr: Scalar | LrSchedule,
    *,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.999,
    eps: Scalar = 1e-16,
    eps_root: Scalar = 1e-16,
) -> Optimizer:
    """Make AdaBelief: Adam with v the moving average of (g - m)^2 in place of g^2.

    Args:
        lr: Learning rate, >= 0, or a schedule.
        beta1: Decay of the moving average m of the gradient g, in [0, 1).
        beta2: Decay of the moving average v of (g - m)^2, with m updated first; in [0, 1).
        eps: > 0, added to the root of v.
        eps_root: >= 0, added to v itself at every update, so that it adds up.

    Source: Zhuang et al., https://arxiv.org/abs/2010.07468;
    `learned_optimization/optimizers/optax_opts.py: AdaBelief`.

    Example:
        >>> opt = adabelief(lr=1e-3)
    """
    return chain(scale_by_belief(beta1=beta1, beta2=beta2, eps=eps, eps_root=eps_root), scale_by_lr(lr))
