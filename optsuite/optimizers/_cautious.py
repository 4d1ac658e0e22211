"""Cautious updates: only elements that go downhill move."""

from __future__ import annotations

import torch
from torch import Tensor

from optsuite._types import Params
from optsuite.errors import HParamError
from optsuite.optimizers._base import Optimizer, OptState, as_trained, cast
from optsuite.tree import tree_map

NEEDS_NO_OTHERS = (
    "`cautious` needs an optimizer that is evaluated at the parameters that it trains, got one that is "
    "evaluated at others, such as a Schedule-Free method: use it without `cautious`"
)


def cautious(inner: Optimizer) -> Optimizer:
    """Keep only the elements of an optimizer's updates that go against the gradient, made larger for it.

    In each tensor u of n elements, of which k go against the gradient, those become u n / (k + 1) and the
    others 0.

    Args:
        inner: Optimizer that gets the gradients; its state is that of the result. Weight decay that it adds
            to its updates is kept or left out with them, while the authors' code decays every element.

    Raises:
        HParamError: `inner` is evaluated at an average of its own steps, which these are not.

    Source: Liang et al., https://arxiv.org/abs/2411.16085, algorithm 1 and its scale; the authors' code
    divides by the mean of the mask, which is n / k.

    Example:
        >>> params = {"weight": torch.zeros(3)}
        >>> opt = cautious(sgdm(lr=1.0))
        >>> state = opt.init(params)
        >>> for grad in ([1.0, 1.0, 1.0], [1.0, 0.5, -0.5]):
        ...     updates, state = opt.update({"weight": torch.tensor(grad)}, state, params)
        >>> updates["weight"]  # the last element still goes where its momentum leads, and is held
        tensor([-1.9000, -1.4000, -0.0000])
    """
    if inner.evaluated is not as_trained:
        raise HParamError(NEEDS_NO_OTHERS)

    def update(
        grads: Params, state: OptState, params: Params, *, loss: Tensor | None = None
    ) -> tuple[Params, OptState]:
        updates, state = inner.update(grads, state, params, loss=loss)
        return tree_map(downhill, updates, grads), state

    return Optimizer(inner.init, update)


def downhill(u: Tensor, g: Tensor) -> Tensor:
    """Keep the elements of the update u that go against the gradient g, made larger for it."""
    # A product of small numbers could be 0, that of their signs cannot.
    is_kept = torch.sign(u) * torch.sign(g) < 0
    return u * (is_kept * cast(u.numel() / (is_kept.sum() + 1), u))
