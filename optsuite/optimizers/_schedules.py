"""Learning rates that depend on how many updates were made.

A schedule is called with the 0-based counter: 0 at the first update.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from optsuite.optimizers._base import Scalar, Schedule


def linear_rampup_sqrt_decay(peak_lr: Scalar, *, warmup_steps: Scalar = 1000) -> Schedule:
    """Rise linearly, then fall with the inverse square root of the counter t.

    peak_lr min(s / warmup_steps, sqrt(warmup_steps / s)) with s = max(t, 1), so the first two
    updates share s = 1.

    Args:
        peak_lr: >= 0, the value at t = warmup_steps.
        warmup_steps: > 0.

    Source: `learned_optimization/optimizers/learning_rate_schedules.py: LinearRampupSqrtDecay`.

    Example:
        >>> linear_rampup_sqrt_decay(1.0)(torch.tensor(4000.0))
        tensor(0.5000)
    """

    def schedule(step: Tensor) -> Tensor:
        fraction = torch.clamp(step, min=1) / warmup_steps
        return torch.minimum(fraction, torch.rsqrt(fraction)) * peak_lr

    return schedule


def exponential_decay(lr: Scalar, *, decay: Scalar = 7e-5) -> Schedule:
    """Lose the same fraction at every update: lr (1 - decay)^t.

    Args:
        lr: >= 0, the value at t = 0.
        decay: In [0, 1).

    Source: `learned_optimization/optimizers/learning_rate_schedules.py: ExponentialDecay`.
    That takes the power of 1 - decay rounded to float32; here the rounding does not grow with t.

    Example:
        >>> exponential_decay(1.0, decay=0.5)(torch.tensor(3.0))
        tensor(0.1250)
    """

    def schedule(step: Tensor) -> Tensor:
        rate = torch.log1p(torch.zeros_like(step) - decay)
        return torch.exp(step * rate) * lr

    return schedule
