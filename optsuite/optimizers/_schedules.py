"""Learning-rate schedules, which depend on the number of updates made or on the share of all updates.

A schedule is called with a counter that is 0 at the first update.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from optsuite.errors import HParamError
from optsuite.optimizers._base import HorizonLrSchedule, Scalar, StepLrSchedule


def linear_rampup_sqrt_decay(peak_lr: Scalar, *, warmup_steps: Scalar = 1000) -> StepLrSchedule:
    """Rise linearly, then fall with the inverse square root of the counter t.

    peak_lr min(s / warmup_steps, sqrt(warmup_steps / s)) with s = max(t, 1), so the first two
    updates share s = 1.

    Args:
        peak_lr: Value at t = warmup_steps, >= 0.
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


def exponential_decay(lr: Scalar, *, decay: Scalar = 7e-5) -> StepLrSchedule:
    """Lose the same fraction at every update: lr (1 - decay)^t.

    Args:
        lr: Value at t = 0, >= 0.
        decay: In [0, 1).

    Source: `learned_optimization/optimizers/learning_rate_schedules.py: ExponentialDecay`.
    The source takes the power of 1 - decay rounded to float32; here the rounding does not grow with t.

    Example:
        >>> exponential_decay(1.0, decay=0.5)(torch.tensor(3.0))
        tensor(0.1250)
    """

    def schedule(step: Tensor) -> Tensor:
        rate = torch.log1p(torch.zeros_like(step) - decay)
        return torch.exp(step * rate) * lr

    return schedule


def piecewise_linear(times: Sequence[Scalar], lrs: Sequence[Scalar]) -> StepLrSchedule:
    """Join points by straight lines; constant before the first and after the last.

    Args:
        times: Rising counters, one for each of `lrs`.
        lrs: Values at `times`, each >= 0.

    Raises:
        HParamError: There are no points, or not as many `times` as `lrs`.

    Source: `learned_optimization/optimizers/optax_opts.py: piecewise_linear`, which recent jax turns
    into NaN after the last time.

    Example:
        >>> piecewise_linear((0, 10, 20), (0.0, 1.0, 0.5))(torch.tensor(15.0))
        tensor(0.7500)
    """
    if not times or len(times) != len(lrs):
        raise HParamError(f"`times` needs one number for each of `lrs`, got {len(times)} for {len(lrs)}")

    def schedule(step: Tensor) -> Tensor:
        lr = torch.zeros_like(step) + lrs[0]
        for (start, low), (stop, high) in itertools.pairwise(zip(times, lrs, strict=True)):
            lr = lr + torch.clamp((step - start) / (stop - start), 0, 1) * (high - low)
        return lr

    return schedule


def cosine_decay(
    lr: Scalar, *, min_lr_mult: Scalar = 0.0, constant_fraction: Scalar = 0.5, warmup_fraction: Scalar = 0.01
) -> HorizonLrSchedule:
    """Stay constant, then fall along half a cosine to the end of the run; or rise first, then fall.

    With s the progress, the value is lr before s = constant_fraction and min_lr_mult lr at s = 1. With a
    warm-up it is lr s / w before w = max(warmup_fraction, constant_fraction): the rise takes the place of the
    whole constant part, however short the warm-up was meant to be, and the first update is by 0.

    Args:
        lr: Highest value, >= 0.
        min_lr_mult: Share of it that is left at the end, in [0, 1].
        constant_fraction: Share of the run before the fall, in [0, 1).
        warmup_fraction: Share of the run meant for the warm-up, in [0, 1); 0 for none.

    Source: `learned_optimization/optimizers/learning_rate_schedules.py: CosineLearningRateSchedule`.

    Example:
        >>> cosine_decay(1.0, constant_fraction=0.0, warmup_fraction=0.0).rate(torch.tensor(0.5))
        tensor(0.5000)
    """

    def rate(progress: Tensor) -> Tensor:
        start = torch.zeros_like(progress) + constant_fraction
        fallen = (torch.maximum(progress, start) - start) / (1 - constant_fraction)
        share = min_lr_mult + (1 - min_lr_mult) * (torch.cos(math.pi * fallen) + 1) / 2
        end_of_rise = torch.clamp(start, min=warmup_fraction)
        is_rising = (warmup_fraction > 0) & (progress < end_of_rise)
        return torch.where(is_rising, progress / end_of_rise, share) * lr

    return HorizonLrSchedule(rate)
