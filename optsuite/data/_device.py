"""Where a split is kept."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["to_device"]


def to_device(store: Tensor, device: torch.device) -> Tensor:
    """Move the examples of a split to the device, but to a GPU only up to a quarter of what is free there.

    What is larger is memory-mapped and stays on the CPU; its batches are moved as they are gathered.
    """
    if device.type == "cuda":
        free_bytes, _ = torch.cuda.mem_get_info(device)
        if store.nbytes > free_bytes // 4:
            return store
    return store.to(device)
