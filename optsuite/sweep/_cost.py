"""What training costs, estimated without a measurement."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from optsuite import trainer
from optsuite.hparam_sets import Trial
from optsuite.optimizers import OPTIMIZERS
from optsuite.tasks import Task

__all__ = ["estimated_seconds", "least_seconds"]

# Sustained float32 operations a second: of one CPU core, and of a GPU at the sizes of these tasks.
_CPU_FLOPS, _CUDA_FLOPS = 40e9, 10e12
# What a call of an uncompiled program costs besides its arithmetic, in seconds.
_CALL_SECONDS, _SINGLE_CALL_SECONDS = 2.5e-3, 0.5e-3


def _flops_a_second(device: torch.device) -> float:
    return _CUDA_FLOPS if device.type == "cuda" else _CPU_FLOPS * torch.get_num_threads()


def least_seconds(task: Task, trials: Sequence[Trial], device: torch.device) -> float:
    """What `estimated_seconds` is at least, without counting operations."""
    try:
        flops = task.min_flops_per_step
    except Exception:  # noqa: BLE001 - a task of the user's may raise anything
        return 0.0
    num_steps = sum(trial.schedule.num_steps + 1 for trial in trials)
    return num_steps * flops / _flops_a_second(device)


def estimated_seconds(task: Task, trials: Sequence[Trial], device: torch.device) -> float:
    """Rough wall-clock time to train trials of one task, evaluations included; no measurement is made.

    0 for a task that cannot be costed because it is broken: it is to fail in its own items.
    """
    rate = _flops_a_second(device)
    try:
        width, flops, shapes = trainer.width_limit(task, device), task.flops_per_step, task.param_shapes
    except Exception:  # noqa: BLE001 - a task of the user's may raise anything
        return 0.0
    seconds = 0.0
    for rule, members in trainer.group_by_rule(trials):
        count, schedule = len(members), rule.schedule
        # A forward pass is a third of a step; three splits are evaluated.
        evals_per_step = 3 * schedule.eval_batches / schedule.eval_every
        passes = (schedule.num_steps + 1) * (1 + evals_per_step / 3)
        call = _SINGLE_CALL_SECONDS if width == 1 else _CALL_SECONDS
        seconds += passes * (count * flops / rate + math.ceil(count / width) * call)
        if rule.optimizer in OPTIMIZERS:  # no class by its import path
            update_flops = OPTIMIZERS[rule.optimizer].flops(shapes, **rule.shared)
            seconds += (schedule.num_steps + 1) * count * update_flops / rate
    return seconds
