"""Random numbers as pure functions of a key.

A key is a 0-d int64 tensor. The same key gives the same numbers on every device, alone or under `vmap`, so
noise inside a loss (dropout, evolution strategies) does not depend on which trials run side by side.
The generator hashes a counter with the 32-bit finaliser `lowbias32` (Chris Wellons, Hash Prospector, 2018).
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

_CPU = torch.device("cpu")

_MASK = 0xFFFFFFFF

# Numbers that are folded into the key of a loss for streams of their own; dropout and the steps of a training
# within a loss fold in the numbers from 0.
PERTURBATIONS, RESTARTS, INITIAL = -1, -2, -3


def key_from(*parts: int | str) -> int:
    """Return the key that names a stream, e.g. `key_from(seed, "train")`.

    Args:
        parts: Parts of the name; other parts name another stream.

    Returns:
        An integer in [0, 2**32), the same on every machine.
    """
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "little")


def fold_in(key: Tensor, data: Tensor | int) -> Tensor:
    """Return a new key for element `data` of the stream `key`; their shapes are broadcast."""
    word = _mix(_mix(_mix(_word(key)) + data) + (0x9E3779B9 - 2**32))
    return word.to(torch.int64) & _MASK


def uniform(key: Tensor, shape: torch.Size | tuple[int, ...]) -> Tensor:
    """Return numbers uniform in [0, 1), float32, on the key's device.

    Args:
        key: Key of the stream, (), int64.
        shape: Shape of the result, which must have fewer than 2**31 elements.
    """
    word = _word(key)
    counter = torch.arange(math.prod(shape), dtype=torch.int32, device=key.device)
    bits = _mix(_mix(counter + word) ^ word)
    return (((bits >> 8) & 0xFFFFFF) * 2.0**-24).view(shape)


def normal(key: Tensor, shape: torch.Size | tuple[int, ...]) -> Tensor:
    """Return numbers from the standard normal distribution, float32, on the key's device.

    Args:
        key: Key of the stream, (), int64.
        shape: Shape of the result, which must have fewer than 2**31 elements.

    Source: Box and Muller, 1958.
    """
    count = math.prod(shape)
    pairs = uniform(key, (2, (count + 1) // 2))
    radius, angle = (-2 * (1 - pairs[0]).log()).sqrt(), 2 * math.pi * pairs[1]
    return torch.cat([radius * angle.cos(), radius * angle.sin()])[:count].view(shape)


def draw_key(device: torch.device) -> Tensor:
    """Draw a key from torch's generator: (), int64."""
    return torch.randint(2**32, (), device=device)


def seed_generators(seed: int, device: torch.device = _CPU) -> None:
    """Seed the generators of Python, of NumPy, and of torch on the CPU and on a device."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    for generator in torch_generators(device):
        generator.manual_seed(seed)


def generator_states(device: torch.device = _CPU) -> tuple[Any, ...]:
    """Return the states of these generators; two are equal if nothing was drawn in between."""
    of_numpy: Any = np.random.get_state(legacy=False)
    twister = of_numpy.pop("state")
    states = (generator.get_state().numpy().tobytes() for generator in torch_generators(device))
    return random.getstate(), of_numpy, twister["pos"], twister["key"].tobytes(), *states


@contextmanager
def generators_kept(device: torch.device = _CPU) -> Iterator[None]:
    """Leave these generators as they were."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    with torch_generators_kept(device):
        try:
            yield
        finally:
            random.setstate(of_python)
            np.random.set_state(of_numpy)


def torch_generators_kept(device: torch.device) -> AbstractContextManager[None]:
    """Leave torch's own generators as they were."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


def torch_generators(device: torch.device) -> list[torch.Generator]:
    """Return torch's own generators, of the CPU and of a device."""
    if device.type != "cuda":
        return [torch.default_generator]
    index = torch.empty(0, device=device).device.index  # which also makes the generators
    return [torch.default_generator, torch.cuda.default_generators[index]]


def _word(key: Tensor) -> Tensor:
    """Return the low 32 bits as int32, whose products wrap and are faster than those of int64."""
    return (((key + 2**31) & _MASK) - 2**31).to(torch.int32)


def _mix(bits: Tensor) -> Tensor:
    """Hash int32 words; a shift to the right copies the sign bit, which the masks take away again."""
    bits = (bits ^ ((bits >> 16) & 0xFFFF)) * 0x7FEB352D
    bits = (bits ^ ((bits >> 15) & 0x1FFFF)) * (0x846CA68B - 2**32)
    return bits ^ ((bits >> 16) & 0xFFFF)
