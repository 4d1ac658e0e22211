"""How fast a device is, in the few numbers that a plan needs."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import NamedTuple

import torch


class Speed(NamedTuple):
    """Speed of one device, or of one thread pool of a CPU."""

    flops: float
    """Operations that a large float32 product does in a second."""
    bytes: float
    """Bytes that an element-wise operator reads and writes in memory in a second."""
    op_seconds: float
    """Seconds that an operator takes on next to nothing."""


def nominal_speed(device: torch.device) -> Speed:
    """Return a typical speed, the same in every run: that of two cores, or of a data-centre GPU."""
    return Speed(15e12, 1e12, 5e-6) if device.type == "cuda" else Speed(150e9, 35e9, 2e-6)


@functools.cache
def measured_speed(device: torch.device, num_threads: int) -> Speed:
    """Measure the speed of a device in a few tenths of a second, once a process.

    Args:
        device: The device.
        num_threads: Number of threads that a CPU uses.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        return _measure(device)
    except RuntimeError:  # a GPU whose memory others have filled, as training will say
        return nominal_speed(device)
    finally:
        torch.set_num_threads(before)
        if device.type == "cuda":
            torch.cuda.empty_cache()  # for the processes beside this one


def _measure(device: torch.device) -> Speed:
    size, length = (4096, 1 << 26) if device.type == "cuda" else (512, 1 << 22)
    square, vector, one = (torch.ones(shape, device=device) for shape in ((size, size), (length,), (1,)))
    product, scaled = torch.empty_like(square), torch.empty_like(vector)
    return Speed(
        flops=2 * size**3 / _seconds(lambda: torch.mm(square, square, out=product), 10, device),
        bytes=2 * vector.nbytes / _seconds(lambda: torch.mul(vector, 2, out=scaled), 4, device),
        op_seconds=_seconds(lambda: one + one, 2000, device),
    )


def _seconds(call: Callable[[], object], count: int, device: torch.device) -> float:
    """Return the best time of a few tries, since others may use the machine too."""
    call()
    return min(_seconds_once(call, count, device) for _ in range(4))


def _seconds_once(call: Callable[[], object], count: int, device: torch.device) -> float:
    began = time.perf_counter()
    for _ in range(count):
        call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - began) / count
