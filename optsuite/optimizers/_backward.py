"""Gradients given to an optimizer as a backward pass of a plain loop gives them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def has_hooks(optimizer: torch.optim.Optimizer, params: Sequence[Tensor]) -> bool:
    """Whether it matters to an optimizer how a loop clears and computes gradients, and not `step` alone.

    It does to hooks of parameters, to a `zero_grad` of its own, and where others than the parameters are
    in its groups, so that `zero_grad` clears those.

    Args:
        optimizer: The optimizer.
        params: All its parameters.

    Example:
        >>> param = torch.nn.Parameter(torch.ones(2))
        >>> sgd = torch.optim.SGD([param])
        >>> has_hooks(sgd, [param])
        False
        >>> handle = param.register_hook(lambda grad: grad.clamp(-1, 1))
        >>> has_hooks(sgd, [param])
        True
    """
    clears = getattr(optimizer.zero_grad, "__func__", None)
    if clears is not torch.optim.Optimizer.zero_grad:
        return True
    grouped = {id(param) for group in optimizer.param_groups for param in group["params"]}
    if grouped != set(map(id, params)):
        return True
    return any(param._backward_hooks or param._post_accumulate_grad_hooks for param in params)


def deliver(
    optimizer: torch.optim.Optimizer, params: Sequence[Tensor], grads: Sequence[Tensor | None]
) -> None:
    """Clear the gradients and add new ones, so that every hook is called.

    The hooks of a parameter run before those of the parameters before it, as in the backward pass of layers
    that follow one another.

    Args:
        optimizer: The optimizer.
        params: All its parameters, with the gradients that its last step left.
        grads: What a backward pass would compute for them; None for nothing.

    Example:
        >>> param = torch.nn.Parameter(torch.ones(2))
        >>> handle = param.register_hook(lambda grad: grad.clamp(-1, 1))
        >>> deliver(torch.optim.SGD([param]), [param], [torch.tensor([0.5, 3.0])])
        >>> param.grad
        tensor([0.5000, 1.0000])
    """
    optimizer.zero_grad()
    given = [(p, grad) for p, grad in zip(params, grads, strict=True) if p.requires_grad and grad is not None]
    with torch.enable_grad():
        outputs = [param.view_as(param) for param, _ in given]
    torch.autograd.backward(outputs, [grad for _, grad in given])
