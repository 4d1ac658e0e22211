"""Initialisers, as the reference's libraries define them, and how they can be repeated from a key."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor, nn

from optsuite.noise import normal, uniform

Draw: TypeAlias = Callable[[Tensor], Tensor]
"""A function of a key, (), int64, to the random numbers of a parameter."""

# What initialisers have filled since somebody listens: a tensor, its version then, and how, by identity.
_heard: ContextVar[dict[int, tuple[Tensor, int, Draw]] | None] = ContextVar("_heard", default=None)

# The deviation of a standard normal cut to [-2, 2], and the probability of that interval.
_CUT_STD = 0.87962566103423978
_CUT_MASS = math.erf(math.sqrt(2))


def normal_(weight: Tensor, std: float) -> Tensor:
    """Fill with a normal of mean 0."""
    if weight.is_meta:
        return weight  # torch would import its compiler, for seconds, to fill in nothing
    nn.init.normal_(weight, std=std)
    return _told(weight, partial(_normal, shape=weight.shape, std=std))


def _normal(key: Tensor, shape: torch.Size, std: float) -> Tensor:
    return std * normal(key, shape)


def truncated_normal_(weight: Tensor, std: float) -> Tensor:
    """Fill with `std * z`, z a standard normal cut to [-2, 2] and not rescaled: the deviation is 0.88 `std`.

    Numbers are drawn by the inverse of the distribution function, eight times as fast as by torch's
    `trunc_normal_`.

    Source: dm-haiku, `hk.initializers.TruncatedNormal`.
    """
    if weight.is_meta:
        return weight  # torch would take milliseconds to fill in nothing
    with torch.no_grad():
        weight.uniform_(-_CUT_MASS, _CUT_MASS).erfinv_().mul_(math.sqrt(2) * std)
        weight.clamp_(-2 * std, 2 * std)  # rounding may pass the ends
    return _told(weight, partial(_truncated_normal, shape=weight.shape, std=std))


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
    nn.init.uniform_(weight, -limit, limit)
    return _told(weight, partial(_uniform, shape=weight.shape, limit=limit))


def _uniform(key: Tensor, shape: torch.Size, limit: float) -> Tensor:
    return limit * (2 * uniform(key, shape) - 1)


def _told(weight: Tensor, draw: Draw) -> Tensor:
    if (heard := _heard.get()) is not None:
        heard[id(weight)] = weight, weight._version, draw
    return weight


@contextmanager
def draws_heard() -> Iterator[Callable[[nn.Module], dict[str, Draw]]]:
    """Listen to the initialisers of this package while networks are built.

    Yields:
        A function of such a network, that gives how each of its random parameters can be drawn again. It
        leaves out those that something else has filled or changed.
    """
    heard: dict[int, tuple[Tensor, int, Draw]] = {}
    token = _heard.set(heard)

    def draws_of(module: nn.Module) -> dict[str, Draw]:
        filled = {name: heard[id(p)] for name, p in module.named_parameters() if id(p) in heard}
        return {name: draw for name, (p, version, draw) in filled.items() if p._version == version}

    try:
        yield draws_of
    finally:
        _heard.reset(token)
