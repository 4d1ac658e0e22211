"""Estimates what training costs, from what a task counts and from the speed of the device.

A program's time is the time of its operators on next to nothing, times how many there are, plus the time of
its arithmetic. The factors below were fitted to measured steps of 14 tasks of all families, compiled and not.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from optsuite import trainer
from optsuite.hparam_sets import Trial
from optsuite.optimizers import get_row
from optsuite.tasks import Task

# Time of an operator as a multiple of a bare one's, by (is one trial alone, is compiled).
_OP_FACTORS = {(True, False): 13.0, (True, True): 5.0, (False, False): 35.0, (False, True): 7.0}
# Share of the speed of a large product that the tasks' products reach.
_PRODUCT_SHARE = 0.65
# Operators of an optimizer for each parameter tensor, and passes of them over memory when not compiled.
_UPDATE_OPS, _UPDATE_PASSES, _COMPILED_UPDATE_PASSES = 15, 45, 7
_METRIC_OPS = 20
# Bare operators that compilation takes for each operator of a gradient, on a machine that knows some of it.
_COMPILE_OPS = 10_000


class Speed(NamedTuple):
    """Speed of one device, or of one thread pool of a CPU."""

    flops: float
    """Operations that a large float32 product does in a second."""
    bytes: float
    """Bytes that an element-wise operator reads and writes in memory in a second."""
    op_seconds: float
    """Seconds that an operator takes on next to nothing."""


@dataclass(frozen=True)
class Cost:
    """Estimated cost of training, evaluations included."""

    seconds: float = 0.0
    """Wall-clock time."""
    flops: float = 0.0
    """Number of operations of products and convolutions."""
    memory_bytes: float = 0.0
    """Largest working set of a program, the data left out."""
    is_known: bool = True
    """Whether nothing is missing; otherwise the numbers are those of the part that is known."""

    def __add__(self, other: Cost) -> Cost:
        """Return the cost of one after the other."""
        memory = max(self.memory_bytes, other.memory_bytes)
        is_known = self.is_known and other.is_known
        return Cost(self.seconds + other.seconds, self.flops + other.flops, memory, is_known)


def least_seconds(task: Task, trials: Sequence[Trial], speed: Speed) -> float:
    """Return a bound below the time of `estimated_cost`, without counting operations."""
    try:
        flops = task.min_flops_per_step
    except Exception:  # noqa: BLE001 - a task of the user's may raise anything
        return 0.0
    num_steps = sum(trial.schedule.num_steps + 1 for trial in trials)
    return num_steps * flops / (_PRODUCT_SHARE * speed.flops)


def estimated_cost(task: Task, trials: Sequence[Trial], device: torch.device, speed: Speed) -> Cost:
    """Estimate what it costs to train trials of one task in one process.

    The cost is unknown if the task cannot be counted; a task that is broken is to fail when it is trained.

    Args:
        task: The task.
        trials: Trials of the task.
        device: Where they would train.
        speed: Speed of the device.
    """
    try:
        width = trainer.width_limit(task, device)
        grids = [
            (spec, trainer.split_into_grids(members, width))
            for spec, members in trainer.group_by_spec(trials)
        ]
        costs = [
            _program_cost(task, spec, [grid.num_trials for grid in parts], speed) for spec, parts in grids
        ]
    except Exception:  # noqa: BLE001 - a task of the user's may raise anything
        return Cost(is_known=False)
    return sum(costs, Cost())


def _program_cost(task: Task, spec: trainer.ProgramSpec, widths: Sequence[int], speed: Speed) -> Cost:
    """Estimate the cost of programs of those widths."""
    if task.flops_per_step < 0:
        return Cost(is_known=False)
    schedule, num_leaves = spec.schedule, len(task.param_shapes)
    num_steps, count, is_single = schedule.num_steps + 1, sum(widths), widths[0] == 1
    num_passes = sum(3 * schedule.batches_at(step) for step in schedule.eval_steps())
    is_compiled = trainer.is_long(task, num_steps * len(widths), is_single=is_single)
    has_long_updates = is_compiled and trainer.updates_are_long(num_steps)
    # A forward pass is a third of a step; an estimator that evaluates takes a step to do so.
    num_passes_as_steps = num_passes * (1 / 3 if task.estimator.evaluate is None else 1)
    flops = count * task.flops_per_step * (num_steps + num_passes_as_steps)
    task_ops = task.num_ops * (num_steps + num_passes_as_steps) + _METRIC_OPS * num_passes
    update_ops = num_leaves * _UPDATE_OPS * num_steps
    num_bare_ops = len(widths) * (
        task_ops * _OP_FACTORS[is_single, is_compiled] + update_ops * _OP_FACTORS[is_single, has_long_updates]
    )
    row = get_row(spec.optimizer)
    update_flops = row.flops(task.param_shapes, **spec.shared, **row.with_roles(lambda: task.roles))
    update_passes = _COMPILED_UPDATE_PASSES if has_long_updates else _UPDATE_PASSES
    update_bytes = count * num_steps * update_passes * 4 * task.num_params
    seconds = (
        (num_bare_ops + is_compiled * task.num_ops * _COMPILE_OPS) * speed.op_seconds
        + (flops + count * num_steps * update_flops) / (_PRODUCT_SHARE * speed.flops)
        + update_bytes / speed.bytes
    )
    return Cost(seconds, flops, max(widths) * trainer.trial_bytes(task))


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
