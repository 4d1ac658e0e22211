"""The number of trials that fit side by side."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import torch

from optsuite.hparam_sets import Schedule
from optsuite.tasks import Task

# Copies of the activations: those kept for the gradient, and their own gradients.
_ACTIVATION_COPIES = 2
# Share of the free memory for trials; the rest is for data, the allocator and others on the machine.
_SHARE = 0.5

# On a CPU a program's parameters and activations must stay in the last cache: each step passes over them
# several times. With 32 MiB of L3, 75 trials of 0.43 M parameters at once are half as fast as 15 at once.
_CACHE_BYTES = 32 * 2**20
# Size of a pass of an evaluation on a GPU: the same in every run, whatever is free.
_PASS_BYTES = 2**30


def trial_bytes(task: Task) -> int:
    """Estimate the memory that one trial needs while it trains uncompiled."""
    params = 4 * task.num_params
    # Most optimizers remember two moments, as Adam does. An update holds the gradient and what it adds, and
    # makes the next parameters and moments beside these.
    return 3 * params + task.carry_bytes + max(task.peak_bytes, 5 * params)


def free_bytes(device: torch.device) -> int:
    """Return the memory that a program could still take on the device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return min(_free_of_machine(), _free_of_container())


def _free_of_machine() -> int:
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _free_of_container() -> int:
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and used.exists() and (text := limit.read_text().strip()) != "max":
        return max(0, int(text) - int(used.read_text()))
    return sys.maxsize


def width_by_memory(task: Task, device: torch.device) -> int:
    """Return how many trials fit side by side, at least 1."""
    return max(1, int(_SHARE * free_bytes(device)) // trial_bytes(task))


def width_limit(task: Task, device: torch.device) -> int:
    """Return how many trials to train side by side, at least 1; memory only matters where it is short."""
    if task.activation_bytes < 0:  # unknown
        return 1
    fitting = width_by_memory(task, device)
    if device.type == "cpu":
        # Of a task that trains another one, all that is ever held is counted already.
        copies = 1 if task.batch_dims else 2 * _ACTIVATION_COPIES
        hot_bytes = 4 * task.num_params + task.carry_bytes + copies * task.activation_bytes
        fitting = min(fitting, _CACHE_BYTES // hot_bytes)
    return max(1, fitting)


def batches_at_once(task: Task, schedule: Schedule, device: torch.device) -> int:
    """Return how many batches to evaluate in one pass of a single trial, such that all passes are alike.

    Small passes cost their operators more than their arithmetic; several large ones would leave the cache.
    """
    if task.activation_bytes < 0:  # unknown
        return 1
    room = _CACHE_BYTES if device.type == "cpu" else _PASS_BYTES
    fitting = room // max(1, task.activation_bytes)
    common = math.gcd(schedule.eval_batches, schedule.last_eval_batches) if schedule.eval_batches else 1
    return max((n for n in range(1, min(fitting, common) + 1) if common % n == 0), default=1)


_WORDS = ("DefaultCPUAllocator: can't allocate", "CUDA out of memory", "STATUS_ALLOC_FAILED")


def is_out_of_memory(error: BaseException | None) -> bool:
    """Tell whether an error, or what caused it, says that memory ran out, on any device."""
    while error is not None:
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            return True
        if isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS):
            return True
        error = error.__cause__
    return False
