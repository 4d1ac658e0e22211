"""Where a split is kept."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["pick", "to_device"]


def to_device(store: Tensor, device: torch.device) -> Tensor:
    """Move the examples of a split to the device, but to a GPU only up to a quarter of what is free there.

    What is larger is memory-mapped and stays on the CPU; its batches are moved as they are gathered.
    """
    if device.type == "cuda":
        free_bytes, _ = torch.cuda.mem_get_info(device)
        if store.nbytes > free_bytes // 4:
            return store
    return store.to(device)


def pick(store: Tensor, flat_indices: Tensor) -> Tensor:
    """Rows of a store, by indices on any device."""
    # On its way to the host a copy that does not wait would be read before it is there.
    is_on_host = store.device.type == "cpu"
    return store.index_select(0, flat_indices.to(store.device, non_blocking=not is_on_host))
