"""Layouts of trials: how many side by side, and whether compiled.

The default layout follows from sizes alone. Where training takes long enough, layouts beside it are tried for
a moment, and the fastest is kept in a file for all later runs on such a device.
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
from optsuite.trainer._grid import Grid, ProgramSpec, split_into_grids
from optsuite.trainer._layouts_file import Layout, keep_layout, read_layouts
from optsuite.trainer._lift_mode import CannotLiftError
from optsuite.trainer._memory import free_bytes, is_out_of_memory, trial_bytes, width_by_memory, width_limit
from optsuite.trainer._program import Program
from optsuite.trainer._programs import Programs

# Runs that are estimated to take fewer seconds uncompiled are not worth the time of measuring.
_MIN_SECONDS = 1200.0
# Operations that every device does in a second: no estimate is needed where that is enough.
_SLOW_FLOPS = 1e9
# Share of the estimated time that measuring may take.
_SHARE = 0.05
# The default is left only for what is clearly faster: these measurements are short.
_MARGIN = 0.93
# Each call is repeated for about so many seconds, and the best of several such tries counts.
_TRY_SECONDS, _TRIES = 0.2, 3


def _layout(
    task: Task, spec: ProgramSpec, trials: Sequence[Trial], device: torch.device, width: int
) -> Layout:
    """Return the layout of a width, compiled if that pays."""
    grids = split_into_grids(trials, width)
    num_calls = len(grids) * (spec.schedule.num_steps + 1)
    is_single = grids[0].num_trials == 1
    return Layout(width, compiling_pays(task, num_calls, device, is_single=is_single))


@torch.no_grad()
def choose_layout(programs: Programs, trials: Sequence[Trial], source: data.Source) -> Layout:
    """Return the layout that was found to be fast before, else measure if that pays, else take the default.

    Args:
        programs: Uncompiled programs of what the trials share.
        trials: All trials of the group.
        source: Real data or the stand-in.

    Raises:
        CannotLiftError: An object of the optimizer class cannot step as many trials as `programs` have it.
    """
    task, spec, device = programs.task, programs.spec, programs.device
    default = _layout(task, spec, trials, device, width_limit(task, device))
    if _is_surely_short(task, spec, trials) or trial_bytes(task) > free_bytes(device):
        return default
    most = width_by_memory(task, device)
    name = _name(task, spec, trials, device, default)
    if known := read_layouts().get(name):
        return known._replace(width=min(known.width, most))
    try:
        best = _Measured(programs, trials, source).best(default, most)
    except CannotLiftError:
        raise
    except Exception:  # noqa: BLE001 - what is wrong with the task will be told by the trials themselves
        best = None
    if best is None:
        return default
    keep_layout(name, best)
    return best


def _is_surely_short(task: Task, spec: ProgramSpec, trials: Sequence[Trial]) -> bool:
    num_steps = len(trials) * (spec.schedule.num_steps + 1)
    return num_steps * task.flops_per_step < _MIN_SECONDS * _SLOW_FLOPS


class _Measured:
    """Measured seconds of a trial-step, evaluations included, by layout.

    Its arguments are those of `choose_layout`.
    """

    def __init__(self, programs: Programs, trials: Sequence[Trial], source: data.Source) -> None:
        self._spec, self._device = programs.spec, programs.device
        self._trials, self._source = trials, source
        self._programs = {False: programs, True: programs.run_as(programs.how._replace(is_compiled=True))}

    def best(self, default: Layout, most: int) -> Layout | None:
        """Find the fastest layout near the default, or None where too little is to be done for it to matter.

        Args:
            default: The layout to begin with.
            most: The largest width that fits.
        """
        began = time.monotonic()
        trial_steps = len(self._trials) * (self._spec.schedule.num_steps + 1)
        total = trial_steps * self._seconds(default._replace(is_compiled=False), tries=0)
        if total < _MIN_SECONDS or math.isinf(total):
            return None
        costs = {default: self._seconds(default) * _MARGIN}
        widths = _widths(self._trials, default.width, most)
        start = widths.index(default.width)
        for way in (widths[start + 1 :], widths[:start][::-1]):  # wider, narrower
            for width in way:
                if time.monotonic() - began > _SHARE * total:
                    break
                layout = _layout(self._programs[False].task, self._spec, self._trials, self._device, width)
                costs[layout] = self._seconds(layout)
                if costs[layout] > min(costs.values()):
                    break
        fastest = min(costs, key=costs.__getitem__)
        if fastest != default:  # these two in turn: what else ran here may have slowed either
            again = {default: self._seconds(default) * _MARGIN, fastest: self._seconds(fastest)}
            costs |= {layout: min(costs[layout], seconds) for layout, seconds in again.items()}
            fastest = min(costs, key=costs.__getitem__)
        if fastest.is_compiled:
            eager = fastest._replace(is_compiled=False)
            costs[eager] = self._seconds(eager)
        return min(costs, key=costs.__getitem__)

    def _seconds(self, layout: Layout, tries: int = _TRIES) -> float:
        """Measure the seconds of a trial-step; infinite where memory does not suffice."""
        grid = split_into_grids(self._trials, layout.width)[0]
        try:
            program = self._programs[layout.is_compiled](grid.shape)
            return self._seconds_of(grid, program, tries) / grid.num_trials
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return math.inf

    def _seconds_of(self, grid: Grid, program: Program, tries: int) -> float:
        """Measure the seconds of one step of a grid and its share of an evaluation."""
        schedule, at_once = self._spec.schedule, program.batches_at_once
        batches = Batches(program, grid, "train", "train", self._source)
        hparams = program.hparams(grid)
        trained = program.start(grid)

        def step(count: int) -> None:
            nonlocal trained
            for batch, key in batches.block(0, count):
                trained, _ = program.step(trained, hparams, batch, key)

        def evaluate(count: int) -> None:
            evaluated = program.params_to_evaluate(trained, hparams)
            carry = program.carry_to_evaluate(trained)
            for batch, keys in batches.chunks(0, count * at_once, at_once):
                program.functions.evaluate(evaluated, carry, batch, keys)

        seconds = _seconds_of_call(step, self._device, tries)
        if schedule.eval_batches:
            passes_per_step = len(EVAL_SPLITS) * schedule.eval_batches / schedule.eval_every
            seconds += passes_per_step / at_once * _seconds_of_call(evaluate, self._device, tries)
        for error in program.failures(trained).values():  # a trial that no longer steps costs less
            raise error
        return seconds


def _seconds_of_call(call: Callable[[int], None], device: torch.device, tries: int) -> float:
    """Measure the seconds of one call, the best of so many tries and one.

    Args:
        call: Makes as many calls as it is told.
        device: Where they run.
        tries: Number of tries after the first.
    """

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
    """Give widths to try, ascending: `start`, and others whose grids differ by a factor of two at least."""
    sizes = {start: split_into_grids(trials, start)[0].num_trials}
    for width in (2**power for power in range(len(trials).bit_length() + 1)):
        size = split_into_grids(trials, width)[0].num_trials
        if width <= most and all(max(size, s) >= 2 * min(size, s) for s in sizes.values()):
            sizes[width] = size
    return sorted(sizes)


def _name(
    task: Task, spec: ProgramSpec, trials: Sequence[Trial], device: torch.device, default: Layout
) -> str:
    """Name all that decides which layout is fast, as far as it is known."""
    if device.type == "cuda":
        kind = torch.cuda.get_device_name(device)
    else:
        cores = f"{torch.get_num_threads()} of {os.cpu_count()} cores"
        kind = f"{device.type} {torch.backends.cpu.get_cpu_capability()}, {cores}"
    seeds = len({trial.seed for trial in trials})
    return ", ".join(
        [
            f"{task.name} of {task.num_params} parameters and {task.flops_per_step} operations",
            f"{spec.optimizer}, {spec.precision}, {len(trials)} trials of {seeds} seeds",
            f"default {default.width} {'compiled' if default.is_compiled else 'uncompiled'}",
            kind,
            *(f"{package} {package_version(package)}" for package in ("torch", "optsuite")),
        ]
    )
