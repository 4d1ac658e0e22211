"""Maps over dicts of tensors, and copies to a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from optsuite._types import Params


def tree_map(fn: Callable[..., Tensor], tree: Params, *rest: Params) -> Params:
    """Apply `fn` to the tensors that share a name.

    Args:
        fn: Function of one tensor from `tree` and one from each of `rest`.
        tree: Dict that has the names of the result, in their order.
        rest: Dicts with at least the same names.

    Returns:
        A new dict with the names of `tree`.
    """
    return {name: fn(leaf, *(other[name] for other in rest)) for name, leaf in tree.items()}


def numbers_on(device: torch.device, values: Sequence[float]) -> Tensor:
    """Return a few numbers as a float32 tensor (n,) on a device, without a copy from the host."""
    if device.type == "cpu":
        return torch.tensor(values, dtype=torch.float32)
    return torch.stack([torch.full((), value, dtype=torch.float32, device=device) for value in values])


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the host to a device; the host does not wait for the steps before it."""
    is_cuda = device.type == "cuda"
    return (tensor.pin_memory() if is_cuda else tensor).to(device, non_blocking=is_cuda)
