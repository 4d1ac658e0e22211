"""Normalizers: from a loss to steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from optsuite._types import Array
from optsuite.errors import OptsuiteError


@dataclass(frozen=True, eq=False)
class Normalizer:
    """Training steps that the best baseline needs to reach a loss: the lower the loss, the more.

    >>> normalizer = Normalizer(xs=[0, 10, 20, 30], ys=[3, 2, 2, 1])
    >>> normalizer(2.5), normalizer(2.0), normalizer(1.5)
    (5.0, 10.0, 25.0)

    Raises:
        OptsuiteError: The knots do not make a curve that falls from step 0 on.
    """

    xs: Array
    """(K,), float64, steps; they rise from 0."""
    ys: Array
    """(K,), float64, the lowest loss up to each step, in the task's own unit; they never rise."""

    def __post_init__(self) -> None:
        xs, ys = (np.array(values, dtype=np.float64) for values in (self.xs, self.ys))
        object.__setattr__(self, "xs", xs)
        object.__setattr__(self, "ys", ys)
        if xs.ndim != 1 or xs.shape != ys.shape or xs.size < 2:
            raise OptsuiteError(
                f"xs and ys must be equally many numbers, two or more (got shapes {xs.shape} and {ys.shape})"
            )
        _require("xs must be finite", xs, np.isfinite(xs))
        _require("ys must be finite", ys, np.isfinite(ys))
        _require("xs must rise from 0", xs, np.r_[xs[0] == 0, np.diff(xs) > 0])
        _require("ys must never rise", ys, np.r_[True, np.diff(ys) <= 0])

    @property
    def horizon(self) -> float:
        """Last step to which the baselines were trained."""
        return float(self.xs[-1])

    @overload
    def __call__(self, loss: float) -> float: ...
    @overload
    def __call__(self, loss: Array) -> npt.NDArray[np.float32]: ...
    @overload
    def __call__(self, loss: Tensor) -> Tensor: ...
    def __call__(self, loss: float | Array | Tensor) -> float | Array | Tensor:
        """Return the steps to a loss, by linear interpolation; the first step where the baselines stay at it.

        Args:
            loss: (...), in the task's own unit.

        Returns:
            (...), float32, of the kind of `loss` and on its device: 0 for the loss at the start, a higher
            one or NaN, `horizon` for the lowest loss of the baselines or a lower one. Between, steps rise
            as the loss falls, up to float32 rounding.
        """
        if isinstance(loss, Tensor):
            return _interpolate(loss.detach(), self.xs, self.ys)
        with np.errstate(over="ignore"):  # beyond float32 is infinite
            steps = self(torch.from_numpy(np.array(loss, dtype=np.float32))).numpy()
        return steps if isinstance(loss, np.ndarray) else float(steps)


def _require(law: str, values: Array, holds: Array) -> None:
    if not holds.all():
        raise OptsuiteError(f"{law} (got {values[holds.argmin()]} at knot {holds.argmin()})")


def _interpolate(loss: Tensor, xs: Array, ys: Array) -> Tensor:
    """Return `jax.numpy.interp(loss, ys[::-1], xs[::-1])` as compiled, in float32; 0 if NaN or infinite.

    XLA makes one instruction of the product and the sum, which rounds once. In float64 the product of two
    float32 is exact, and the last cast is that one rounding.
    """
    loss = loss.to(torch.float32).contiguous()
    losses, steps = (
        torch.from_numpy(values[::-1].copy()).to(loss.device, torch.float32) for values in (ys, xs)
    )
    above = torch.searchsorted(losses, loss, right=True).clamp(1, len(losses) - 1)
    below = above - 1
    width = losses[above] - losses[below]
    is_flat = width <= float(np.spacing(np.finfo(np.float32).eps))  # the threshold of jax.numpy.interp
    share = (loss - losses[below]) / width.masked_fill(is_flat, 1)
    fall = steps[above] - steps[below]
    result = (share.double() * fall.double() + steps[below].double()).float()
    result = torch.where(is_flat, steps[below], result)
    result = torch.where(loss < losses[0], steps[0], result)
    result = torch.where(loss > losses[-1], steps[-1], result)
    return torch.where(result.isfinite() & ~loss.isnan(), result, 0)
