"""Initialisers, as the reference's libraries define them."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["truncated_normal_"]


def truncated_normal_(weight: Tensor, std: float) -> Tensor:
    """Fill with `std * z`, z a standard normal cut to [-2, 2] and not rescaled: of deviation 0.88 `std`.

    Source: dm-haiku, `hk.initializers.TruncatedNormal`.
    """
    return nn.init.trunc_normal_(weight, 0.0, std, -2 * std, 2 * std)
