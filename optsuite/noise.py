"""Random numbers as pure functions of a key.

A key is a 0-d int64 tensor. The same key gives the same numbers on every device, alone or under `vmap`, so
noise inside a loss (dropout, evolution strategies) does not depend on which trials run side by side.
The generator hashes a counter with the 32-bit finaliser `lowbias32` (Chris Wellons, Hash Prospector, 2018).
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor

__all__ = ["fold_in", "key_from", "uniform"]

_MASK = 0xFFFFFFFF


def key_from(*parts: int | str) -> int:
    """The key that names a stream, e.g. `key_from(seed, "train")`.

    Returns:
        An integer in [0, 2**32), the same on every machine.
    """
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "little")


def fold_in(key: Tensor, data: Tensor | int) -> Tensor:
    """A new key for element `data` of the stream `key` (shapes broadcast)."""
    return _mix(_mix(_mix(key) + data) + 0x9E3779B9)


def uniform(key: Tensor, shape: torch.Size | tuple[int, ...]) -> Tensor:
    """Numbers uniform in [0, 1), float32, on the key's device.

    Args:
        key: (), int64.
        shape: The shape to fill; its number of elements must be below 2**32.
    """
    counter = torch.arange(math.prod(shape), device=key.device)
    bits = _mix(_mix(counter + key) ^ key)
    return ((bits >> 8) * 2.0**-24).to(torch.float32).view(shape)


def _mix(bits: Tensor) -> Tensor:
    # int64 holds a 32-bit word without a sign, at the price of masking each product.
    bits = bits & _MASK
    bits = ((bits ^ (bits >> 16)) * 0x7FEB352D) & _MASK
    bits = ((bits ^ (bits >> 15)) * 0x846CA68B) & _MASK
    return bits ^ (bits >> 16)
