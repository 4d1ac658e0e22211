"""Initialisers, as the reference's libraries define them.

A parameter that they fill remembers how, so that `draws_of` can tell it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor, nn

from optsuite.noise import normal, uniform

_Draw: TypeAlias = Callable[[Tensor, torch.Size], Tensor]
"""A function of (key, shape) to random numbers."""

# The deviation of a standard normal cut to [-2, 2], and the probability of that interval.
_CUT_STD = 0.87962566103423978
_CUT_MASS = math.erf(math.sqrt(2))


def normal_(weight: Tensor, std: float) -> Tensor:
    """Fill with a normal of mean 0."""
    _remember(weight, lambda key, shape: std * normal(key, shape))
    # On the meta device torch would import its compiler, for seconds, to fill in nothing.
    return weight if weight.is_meta else nn.init.normal_(weight, std=std)


def truncated_normal_(weight: Tensor, std: float) -> Tensor:
    """Fill with `std * z`, z a standard normal cut to [-2, 2] and not rescaled: the deviation is 0.88 `std`.

    Numbers are drawn by the inverse of the distribution function, eight times as fast as by torch's
    `trunc_normal_`.

    Source: dm-haiku, `hk.initializers.TruncatedNormal`.
    """
    _remember(weight, partial(_truncated_normal, std=std))
    if weight.is_meta:
        return weight  # torch would take milliseconds to fill in nothing
    with torch.no_grad():
        weight.uniform_(-_CUT_MASS, _CUT_MASS).erfinv_().mul_(math.sqrt(2) * std)
        return weight.clamp_(-2 * std, 2 * std)  # rounding may pass the ends


def _truncated_normal(key: Tensor, shape: torch.Size, std: float) -> Tensor:
    mass = _CUT_MASS * (2 * uniform(key, shape) - 1)
    return (math.sqrt(2) * std * mass.erfinv()).clamp(-2 * std, 2 * std)


def variance_scaling_(weight: Tensor, fan_in: int, scale: float = 1.0) -> Tensor:
    """Fill with a normal cut at two deviations and rescaled, so that the variance is `scale / fan_in`.

    Source: dm-haiku, `hk.initializers.VarianceScaling`; flax's `lecun_normal` is that of scale 1.
    """
    return truncated_normal_(weight, math.sqrt(scale / fan_in) / _CUT_STD)


def xavier_uniform_(weight: Tensor, fan_in: int, fan_out: int) -> Tensor:
    """Fill uniformly up to `sqrt(6 / (fan_in + fan_out))`.

    Source: Glorot and Bengio, 2010; flax's `xavier_uniform` on the flattened matrix.
    """
    limit = math.sqrt(6 / (fan_in + fan_out))
    _remember(weight, lambda key, shape: limit * (2 * uniform(key, shape) - 1))
    return nn.init.uniform_(weight, -limit, limit)


def _remember(weight: Tensor, draw: _Draw) -> None:
    vars(weight)["draw"] = draw


def draws_of(module: nn.Module) -> dict[str, Callable[[Tensor], Tensor]]:
    """Return functions that draw the random parameters of a network again, each from a key, (), int64.

    Parameters that begin with fixed numbers have none, and those that others' initialisers have filled.
    """
    return {
        name: partial(vars(param)["draw"], shape=param.shape)
        for name, param in module.named_parameters()
        if "draw" in vars(param)
    }
