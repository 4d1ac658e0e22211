"""`torch.compile` where there is a compiler and the run is long enough to buy the compilation back."""

from __future__ import annotations

import functools
import types
import warnings
from collections.abc import Callable
from typing import Any

import torch

from optsuite import _compiler
from optsuite.tasks import Task

# Compilation takes 4 to 10 s, and saves a call of many trials some 3 ms and one of a single trial 1 to 2 ms.
_MIN_CALLS = 2000
_MIN_SINGLE_CALLS = 5000


def compiling_pays(task: Task, num_calls: int, device: torch.device, *, is_single: bool) -> bool:
    """Tell whether compiling a program pays for so many calls; the answer is the same in every run.

    Args:
        task: The task.
        num_calls: Number of steps, over all grids that share the program.
        device: Where it runs.
        is_single: Whether its grids hold one trial.
    """
    return is_long(task, num_calls, is_single=is_single) and can_compile(device.type)


def is_long(task: Task, num_calls: int, *, is_single: bool) -> bool:
    """Tell whether so many calls buy a compilation back, where there is a compiler."""
    if (
        task.batch_dims
    ):  # trainings within a loss: ten steps of the smallest network compile for eight minutes
        return False
    return num_calls >= (_MIN_SINGLE_CALLS if is_single else _MIN_CALLS)


@functools.cache
def can_compile(device_type: str) -> bool:
    """Tell whether a small program compiles and runs here, which is tried once per process."""
    try:
        torch.compile(_own_code(lambda x: torch.sin(x) + 1))(torch.zeros(8, device=device_type))
    except Exception as error:  # noqa: BLE001 - whatever the tool chain lacks, the eager path works
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        warnings.warn(
            f"torch.compile does not work here ({reason}): training runs uncompiled, which is slower",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True


def compiled(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return `fn` compiled as one graph for the shapes that it is first called with."""
    _compiler.put_marks()
    return torch.compile(_own_code(fn), fullgraph=True, dynamic=False)


def _own_code(fn: Callable[..., Any]) -> Callable[..., Any]:
    # The compiler keeps a small, limited cache per code object, and all programs of the trainer come from the
    # same few lines: each gets a copy of its code, so that no sweep can ever run into the limit.
    return types.FunctionType(
        fn.__code__.replace(), fn.__globals__, fn.__name__, fn.__defaults__, fn.__closure__
    )
