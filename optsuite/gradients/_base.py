"""The pair of functions that an estimator is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from torch import Tensor

from optsuite._types import Batch, Params
from optsuite.noise import PERTURBATIONS, fold_in, normal

Carry: TypeAlias = Any
"""The memory of an estimator from one step to the next: a pytree of tensors, `()` if there is none."""

Loss: TypeAlias = Callable[[Params, Batch, Tensor], Tensor]
"""A pure function of (params, batch, key) to a 0-d loss; `key`, 0-d int64, fixes the noise inside it."""


class GradientEstimator(NamedTuple):
    """A pair of pure functions for one trial; the trainer lifts them over many with `vmap`."""

    init: Callable[[Params, Tensor], Carry]
    """Makes the first carry from the initial parameters and a key, 0-d int64, of the trial's own."""
    estimate: Callable[[Loss, Params, Carry, Batch, Tensor], tuple[Params, Tensor, Carry]]
    """Gives (grads, loss, carry) at (loss, params, carry, batch, key).

    The gradients are named and shaped like the parameters, the 0-d loss is recorded and given to the
    optimizer, and the carry has the shapes and types of the one before. Nothing is modified in place.
    """
    evaluate: Callable[[Loss, Params, Carry, Batch, Tensor], Tensor] | None = None
    """Gives the loss that evaluations record, at the same arguments, where it depends on the carry.

    The carry is not advanced. None where it is the loss itself.
    """


def remember_nothing(params: Params, key: Tensor) -> Carry:
    """Return the carry of an estimator that has none."""
    del params, key
    return ()


def perturbations(params: Params, key: Tensor, count: int, std: float) -> Params:
    """Draw normal perturbations of every parameter, (count, ...) each, from a stream of their own.

    Args:
        params: The parameters.
        key: (), int64, that of the losses.
        count: Number of perturbations.
        std: Their deviation.
    """
    own_key = fold_in(key, PERTURBATIONS)
    return {
        name: std * normal(fold_in(own_key, number), (count, *param.shape))
        for number, (name, param) in enumerate(params.items())
    }
