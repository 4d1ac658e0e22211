"""How trials are laid out: how many side by side, and whether compiled.

A rule answers at once. Where training takes long enough, layouts beside that of the rule are tried for a
moment, and what was found is kept in a file for all later runs on such a device.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence

import torch

from optsuite import data
from optsuite.curves import EVAL_SPLITS, package_version
from optsuite.hparam_sets import Trial
from optsuite.tasks import Task
from optsuite.trainer._batches import Batches
from optsuite.trainer._compile import compiling_pays
from optsuite.trainer._grid import Grid, Rule, split_into_grids
from optsuite.trainer._layouts_file import Layout, keep_layout, read_layouts
from optsuite.trainer._memory import free_bytes, is_out_of_memory, trial_bytes, width_by_memory, width_limit
from optsuite.trainer._program import Program

__all__ = ["choose_layout"]

# Below so many seconds, estimated uncompiled, measuring is not worth its own.
_MIN_SECONDS = 1200.0
# What every device does in a second: spares the estimate where that is enough.
_SLOW_FLOPS = 1e9
# Of that estimate, what measuring may take.
_SHARE = 0.05
# The rule is left only for what is clearly faster: these measurements are short.
_MARGIN = 0.93
# Each call is repeated for about so many seconds, and the best of several such tries counts.
_TRY_SECONDS, _TRIES = 0.2, 3


Make = Callable[[tuple[int, int], bool], Program]
"""Gives the program for a shape (S, H), compiled or not."""


def _layout(rule: Rule, trials: Sequence[Trial], device: torch.device, width: int) -> Layout:
    """Of that width, compiled if that pays."""
    grids = split_into_grids(trials, width)
    num_calls = len(grids) * (rule.schedule.num_steps + 1)
    return Layout(width, compiling_pays(num_calls, device, is_single=grids[0].num_trials == 1))


@torch.no_grad()
def choose_layout(
    task: Task,
    rule: Rule,
    trials: Sequence[Trial],
    device: torch.device,
    source: data.Source,
    make: Make,
) -> Layout:
    """The layout that was found to be fast before, else one that is measured if that pays, else the rule's.

    Args:
        task: The task.
        rule: What the trials share.
        trials: All of them.
        device: Where they train.
        source: Kind of data.
        make: Gives programs; those that are measured are of use later.
    """
    by_rule = _layout(rule, trials, device, width_limit(task, device))
    if _is_surely_short(task, rule, trials) or trial_bytes(task) > free_bytes(device):
        return by_rule
    most = width_by_memory(task, device)
    name = _name(task, rule, trials, device, by_rule)
    if known := read_layouts().get(name):
        return known._replace(width=min(known.width, most))
    try:
        best = _Measured(rule, trials, device, source, make).best(by_rule, most)
    except Exception:  # noqa: BLE001 - what is wrong with the task will be told by the trials themselves
        return by_rule
    if best is None:
        return by_rule
    keep_layout(name, best)
    return best


def _is_surely_short(task: Task, rule: Rule, trials: Sequence[Trial]) -> bool:
    num_steps = len(trials) * (rule.schedule.num_steps + 1)
    return num_steps * task.flops_per_step < _MIN_SECONDS * _SLOW_FLOPS


class _Measured:
    """Seconds of a trial-step, evaluations included, by layout.

    Its arguments are those of `choose_layout`.
    """

    def __init__(
        self, rule: Rule, trials: Sequence[Trial], device: torch.device, source: data.Source, make: Make
    ) -> None:
        self._rule, self._trials, self._device, self._source, self._make = rule, trials, device, source, make

    def best(self, by_rule: Layout, most: int) -> Layout | None:
        """The fastest near that of the rule; None where so little is to be done that it does not matter.

        Args:
            by_rule: Where to begin.
            most: The largest width.
        """
        began = time.monotonic()
        trial_steps = len(self._trials) * (self._rule.schedule.num_steps + 1)
        total = trial_steps * self._seconds(by_rule._replace(is_compiled=False), tries=0)
        if total < _MIN_SECONDS or math.isinf(total):
            return None
        costs = {by_rule: self._seconds(by_rule) * _MARGIN}
        widths = _widths(self._trials, by_rule.width, most)
        start = widths.index(by_rule.width)
        for way in (widths[start + 1 :], widths[:start][::-1]):  # wider, narrower
            for width in way:
                if time.monotonic() - began > _SHARE * total:
                    break
                layout = _layout(self._rule, self._trials, self._device, width)
                costs[layout] = self._seconds(layout)
                if costs[layout] > min(costs.values()):
                    break
        fastest = min(costs, key=costs.__getitem__)
        if fastest != by_rule:  # these two in turn: what else ran here may have slowed either
            again = {by_rule: self._seconds(by_rule) * _MARGIN, fastest: self._seconds(fastest)}
            costs |= {layout: min(costs[layout], seconds) for layout, seconds in again.items()}
            fastest = min(costs, key=costs.__getitem__)
        if fastest.is_compiled:
            eager = fastest._replace(is_compiled=False)
            costs[eager] = self._seconds(eager)
        return min(costs, key=costs.__getitem__)

    def _seconds(self, layout: Layout, tries: int = _TRIES) -> float:
        """Infinite where memory does not suffice."""
        grid = split_into_grids(self._trials, layout.width)[0]
        try:
            return self._seconds_of(grid, self._make(grid.shape, layout.is_compiled), tries) / grid.num_trials
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return math.inf

    def _seconds_of(self, grid: Grid, program: Program, tries: int) -> float:
        """Of one step of a grid and its share of an evaluation."""
        schedule, at_once = self._rule.schedule, program.batches_at_once
        batches = Batches(program, grid, "train", "train", self._source)
        hparams = program.hparams(grid)
        params, opt_state = program.start(grid)

        def step(count: int) -> None:
            nonlocal params, opt_state
            for batch, key in batches.block(0, count):
                params, opt_state, _ = program.step(params, opt_state, hparams, batch, key)

        def evaluate(count: int) -> None:
            evaluated = program.params_to_evaluate(params, opt_state)
            for batch, keys in batches.chunks(0, count * at_once, at_once):
                program.evaluate(evaluated, batch, keys)

        seconds = _seconds_of_call(step, self._device, tries)
        if schedule.eval_batches:
            passes_per_step = len(EVAL_SPLITS) * schedule.eval_batches / schedule.eval_every
            seconds += passes_per_step / at_once * _seconds_of_call(evaluate, self._device, tries)
        for error in program.failures(opt_state).values():  # what no longer steps costs less
            raise error
        return seconds


def _seconds_of_call(call: Callable[[int], None], device: torch.device, tries: int) -> float:
    """Of one of the calls that are made so many times, the best of so many tries and one."""

    def seconds(count: int) -> float:
        began = time.perf_counter()
        call(count)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return (time.perf_counter() - began) / count

    call(1)  # compiles, and loads data
    once = seconds(1)
    count = max(1, int(_TRY_SECONDS / once))
    return min([once, *(seconds(count) for _ in range(tries))])


def _widths(trials: Sequence[Trial], start: int, most: int) -> list[int]:
    """Widths to try, ascending: `start`, and others whose grids have at least twice the size of the next."""
    sizes = {start: split_into_grids(trials, start)[0].num_trials}
    for width in (2**power for power in range(len(trials).bit_length() + 1)):
        size = split_into_grids(trials, width)[0].num_trials
        if width <= most and all(max(size, s) >= 2 * min(size, s) for s in sizes.values()):
            sizes[width] = size
    return sorted(sizes)


def _name(task: Task, rule: Rule, trials: Sequence[Trial], device: torch.device, by_rule: Layout) -> str:
    """What decides which layout is fast, as far as it is known."""
    if device.type == "cuda":
        kind = torch.cuda.get_device_name(device)
    else:
        cores = f"{torch.get_num_threads()} of {os.cpu_count()} cores"
        kind = f"{device.type} {torch.backends.cpu.get_cpu_capability()}, {cores}"
    seeds = len({trial.seed for trial in trials})
    return ", ".join(
        [
            f"{task.name} of {task.num_params} parameters and {task.flops_per_step} operations",
            f"{rule.optimizer}, {rule.precision}, {len(trials)} trials of {seeds} seeds",
            f"by rule {by_rule.width} {'compiled' if by_rule.is_compiled else 'uncompiled'}",
            kind,
            *(f"{package} {package_version(package)}" for package in ("torch", "optsuite")),
        ]
    )
