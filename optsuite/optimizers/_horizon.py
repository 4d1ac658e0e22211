"""Learning-rate schedules in units of the run, which rise from 0 first.

With s the progress of the run, 0 at the first update and 1 at the last, and w the share of the warm-up, each
is lr s / w before s = w, so that the first update is by 0. A warm-up of 0 leaves the rise out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from optsuite.optimizers._base import HorizonLrSchedule, Scalar

DecayShape: TypeAlias = Literal["linear", "sqrt"]
"""The form of the fall of `warmup_stable_decay`: along a line, or as 1 - sqrt."""


def _risen(lr: Scalar, warmup: Scalar, share: Callable[[Tensor], Tensor]) -> HorizonLrSchedule:
    """Rise to lr, then follow a function of the progress to the share of lr that is left."""

    def rate(progress: Tensor) -> Tensor:
        return torch.where(progress < warmup, progress / warmup, share(progress)) * lr

    return HorizonLrSchedule(rate)


def _fallen(lr: Scalar, warmup: Scalar, final: Scalar, left: Callable[[Tensor], Tensor]) -> HorizonLrSchedule:
    """Rise to lr, then fall to final lr by a function from [0, 1] to what is left of the fall, 1 to 0."""

    def share(progress: Tensor) -> Tensor:
        return final + (1 - final) * left(torch.clamp((progress - warmup) / (1 - warmup), min=0))

    return _risen(lr, warmup, share)


def warmup_constant(lr: Scalar, *, warmup_fraction: Scalar = 0.05) -> HorizonLrSchedule:
    """Rise linearly, then stay.

    Args:
        lr: Highest value, >= 0.
        warmup_fraction: Share of the run for the rise, in [0, 1).

    Example:
        >>> warmup_constant(1.0, warmup_fraction=0.2).rate(torch.tensor(0.1))
        tensor(0.5000)
    """
    return _risen(lr, warmup_fraction, torch.ones_like)


def warmup_linear(
    lr: Scalar, *, warmup_fraction: Scalar = 0.05, final_fraction: Scalar = 0.0
) -> HorizonLrSchedule:
    """Rise linearly, then fall linearly to the end of the run.

    Args:
        lr: Highest value, >= 0.
        warmup_fraction: Share of the run for the rise, in [0, 1).
        final_fraction: Share of lr that is left at the end, in [0, 1].

    Example:
        >>> warmup_linear(1.0, warmup_fraction=0.2).rate(torch.tensor(0.6))
        tensor(0.5000)
    """
    return _fallen(lr, warmup_fraction, final_fraction, lambda fall: 1 - fall)


def warmup_cosine(
    lr: Scalar, *, warmup_fraction: Scalar = 0.05, final_fraction: Scalar = 0.0
) -> HorizonLrSchedule:
    """Rise linearly, then fall along half a cosine to the end of the run.

    Args:
        lr: Highest value, >= 0.
        warmup_fraction: Share of the run for the rise, in [0, 1).
        final_fraction: Share of lr that is left at the end, in [0, 1].

    Source: Loshchilov and Hutter, https://arxiv.org/abs/1608.03983, without restarts.

    Example:
        >>> warmup_cosine(1.0, warmup_fraction=0.2).rate(torch.tensor(0.6))
        tensor(0.5000)
    """
    return _fallen(lr, warmup_fraction, final_fraction, lambda fall: (torch.cos(math.pi * fall) + 1) / 2)


def warmup_stable_decay(
    lr: Scalar,
    *,
    warmup_fraction: Scalar = 0.05,
    final_fraction: Scalar = 0.0,
    decay_fraction: Scalar = 0.2,
    decay_shape: DecayShape = "linear",
) -> HorizonLrSchedule:
    """Rise linearly, stay, then fall in the last part of the run.

    Args:
        lr: Highest value, >= 0; it is not reached if the rise and the fall overlap.
        warmup_fraction: Share of the run for the rise, in [0, 1).
        final_fraction: Share of lr that is left at the end, in [0, 1].
        decay_fraction: Share of the run for the fall, in (0, 1].
        decay_shape: `linear`, or `sqrt` for 1 - sqrt(share of the fall that is over).

    Source: Hägele et al., https://arxiv.org/abs/2405.18392.

    Example:
        >>> warmup_stable_decay(1.0, decay_fraction=0.4).rate(torch.tensor(0.7))
        tensor(0.7500)
    """

    def share(progress: Tensor) -> Tensor:
        fall = torch.clamp((progress - (1 - decay_fraction)) / decay_fraction, min=0)
        return final_fraction + (1 - final_fraction) * (1 - (fall.sqrt() if decay_shape == "sqrt" else fall))

    return _risen(lr, warmup_fraction, share)


def warmup_sqrt(lr: Scalar, *, warmup_fraction: Scalar = 0.05) -> HorizonLrSchedule:
    """Rise linearly, then fall with the inverse square root of the number of updates.

    Args:
        lr: Highest value, >= 0.
        warmup_fraction: Share of the run for the rise, in (0, 1); from there on it is lr sqrt(w / s).

    Source: Vaswani et al., https://arxiv.org/abs/1706.03762, with the warm-up in units of the run.

    Example:
        >>> warmup_sqrt(1.0, warmup_fraction=0.2).rate(torch.tensor(0.8))
        tensor(0.5000)
    """
    return _risen(lr, warmup_fraction, lambda progress: torch.rsqrt(progress / warmup_fraction))


def warmup_exponential(
    lr: Scalar, *, warmup_fraction: Scalar = 0.05, final_fraction: Scalar = 0.01
) -> HorizonLrSchedule:
    """Rise linearly, then lose the same fraction at every update.

    Args:
        lr: Highest value, >= 0.
        warmup_fraction: Share of the run for the rise, in [0, 1).
        final_fraction: Share of lr that is left at the end, in (0, 1].

    Example:
        >>> warmup_exponential(1.0, warmup_fraction=0.2, final_fraction=0.25).rate(torch.tensor(0.6))
        tensor(0.5000)
    """

    def share(progress: Tensor) -> Tensor:
        fall = (progress - warmup_fraction) / (1 - warmup_fraction)
        return torch.exp(fall * torch.log(torch.zeros_like(progress) + final_fraction))

    return _risen(lr, warmup_fraction, share)
