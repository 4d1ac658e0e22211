"""RAdam."""

from __future__ import annotations

import torch
from torch import Tensor

from optsuite._types import Params
from optsuite.optimizers._adam import AdamState, init_moments, next_moments
from optsuite.optimizers._base import LrSchedule, Optimizer, Scalar, cast, chain, decay_power, piece
from optsuite.optimizers._pieces import scale_by_lr
from optsuite.tree import tree_map

_THRESHOLD = 5.0


def scale_by_radam(*, beta1: Scalar = 0.9, beta2: Scalar = 0.999, eps: Scalar = 1e-8) -> Optimizer:
    """Replace gradients by Adam's direction times the factor r, which is small as long as v is uncertain.

    With rho_inf = 2 / (1 - beta2) - 1 and rho = rho_inf - 2 t beta2^t / (1 - beta2^t): where
    rho >= 5, r = sqrt((rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho)); before,
    the direction is m / (1 - beta1^t) alone.

    Args:
        beta1: In [0, 1).
        beta2: In [0, 1).
        eps: > 0, added to the root.

    Source: optax, `_src/transform.py: scale_by_radam`. rho is a difference of two numbers near 2000
    and is made in float32 there; float64 would change r by 1e-3.

    Example:
        >>> opt = chain(scale_by_radam(), scale_by_lr(1e-3))
    """

    def update(grads: Params, state: AdamState, _: Params) -> tuple[Params, AdamState]:
        new = next_moments(state, grads, beta1, beta2)
        step = new.step

        rho_inf = cast(2 / (1 - beta2) - 1, step)
        power = decay_power(beta2, step)
        rho = rho_inf - 2 * step * power / (1 - power)
        is_certain = rho >= _THRESHOLD
        ratio = (rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)
        r = torch.sqrt(torch.where(is_certain, ratio, 1.0))

        # One divisor, root_factor sqrt(v) + term, serves both cases: only scalars are selected.
        correction = 1 - decay_power(beta1, step)
        root_factor = torch.where(is_certain, correction / (r * torch.sqrt(1 - power)), 0.0)
        term = torch.where(is_certain, correction * eps / r, correction)

        def direction(m: Tensor, v: Tensor) -> Tensor:
            return m / (torch.sqrt(v) * cast(root_factor, v) + cast(term, v))

        return tree_map(direction, new.mu, new.nu), new

    return piece(init_moments, update)


def radam(
    lr: Scalar | LrSchedule, *, beta1: Scalar = 0.9, beta2: Scalar = 0.999, eps: Scalar = 1e-8
) -> Optimizer:
    """Make Rectified Adam: momentum alone at first, then Adam with steps that grow to full size.

    Args:
        lr: Learning rate, >= 0, or a schedule.
        beta1: Decay of the moving average of the gradient, in [0, 1).
        beta2: Decay of the moving average of its square, in [0, 1). With 0.999 the first five updates are
            momentum alone.
        eps: > 0, added to the root.

    Source: Liu et al., https://arxiv.org/abs/1908.03265;
    `learned_optimization/optimizers/optax_opts.py: RAdam`.

    Example:
        >>> opt = radam(lr=1e-3)
    """
    return chain(scale_by_radam(beta1=beta1, beta2=beta2, eps=eps), scale_by_lr(lr))
