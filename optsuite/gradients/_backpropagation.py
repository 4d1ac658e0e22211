"""The exact gradient of the loss on the batch."""

from __future__ import annotations

from torch import Tensor
from torch.func import grad_and_value

from optsuite._types import Batch, Params
from optsuite.gradients._base import Carry, GradientEstimator, Loss, remember_nothing


def backpropagation() -> GradientEstimator:
    """Differentiate the loss in reverse mode; nothing is remembered.

    Example:
        >>> import torch
        >>> params = {"x": torch.tensor([1.0, 2.0])}
        >>> estimator = backpropagation()
        >>> def loss_fn(params, batch, key):
        ...     return params["x"].square().sum()
        >>> key = torch.tensor(0)
        >>> carry = estimator.init(params, key)
        >>> grads, loss, carry = estimator.estimate(loss_fn, params, carry, {}, key)
        >>> grads["x"], loss
        (tensor([2., 4.]), tensor(5.))
    """
    return _BACKPROPAGATION


def _estimate(
    loss: Loss, params: Params, carry: Carry, batch: Batch, key: Tensor
) -> tuple[Params, Tensor, Carry]:
    grads, value = grad_and_value(loss)(params, batch, key)
    return grads, value, carry


_BACKPROPAGATION = GradientEstimator(remember_nothing, _estimate)
