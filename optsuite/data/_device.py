"""Placement of a split on a device."""

import torch
from torch import Tensor


def to_device(store: Tensor, device: torch.device) -> Tensor:
    """Move the examples of a split to a device, to a GPU only if they fill at most a quarter of what is free.

    A larger split is memory-mapped and stays on the CPU; its batches are moved as they are gathered.
    """
    if device.type == "cuda":
        free_bytes, _ = torch.cuda.mem_get_info(device)
        if store.nbytes > free_bytes // 4:
            return store
    return store.to(device)


def pick(store: Tensor, flat_indices: Tensor) -> Tensor:
    """Return rows of a store by their indices, which may lie on any device."""
    # A copy to the host that does not wait would be read before it has arrived.
    is_on_host = store.device.type == "cpu"
    return store.index_select(0, flat_indices.to(store.device, non_blocking=not is_on_host))
