"""The mean of estimates, each from a part of the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from optsuite._types import Batch, Params
from optsuite.gradients._base import Carry, GradientEstimator, Loss
from optsuite.noise import fold_in
from optsuite.tree import tree_map


def mean_of(
    estimators: Sequence[GradientEstimator], batch_of: Callable[[int, Batch], Batch]
) -> GradientEstimator:
    """Estimate the gradient of the mean of several losses, each by an estimator of its own.

    Args:
        estimators: Estimators that use no loss but their own, as `persistent_es` does.
        batch_of: Function of the number of an estimator and the whole batch that gives its part.
    """

    def init(params: Params, key: Tensor) -> Carry:
        return tuple(one.init(params, fold_in(key, number)) for number, one in enumerate(estimators))

    def estimate(
        loss: Loss, params: Params, carry: Carry, batch: Batch, key: Tensor
    ) -> tuple[Params, Tensor, Carry]:
        estimates = [
            one.estimate(loss, params, carry[number], batch_of(number, batch), fold_in(key, number))
            for number, one in enumerate(estimators)
        ]
        grads, losses, carries = zip(*estimates, strict=True)
        mean = tree_map(lambda *leaves: torch.stack(leaves).mean(0), *grads)
        return mean, torch.stack(losses).mean(), carries

    def evaluate(loss: Loss, params: Params, carry: Carry, batch: Batch, key: Tensor) -> Tensor:
        return estimate(loss, params, carry, batch, key)[1]

    return GradientEstimator(init, estimate, evaluate)
