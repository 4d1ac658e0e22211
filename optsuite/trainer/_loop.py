"""Trains one grid: the steps, the evaluations, and what they leave on the host."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from typing import NamedTuple, final

import numpy as np
import torch
from torch import Tensor

from optsuite import data
from optsuite._types import Array, Batch, Params
from optsuite.curves import EVAL_SPLITS
from optsuite.trainer._batches import Batches
from optsuite.trainer._dump import Arrays
from optsuite.trainer._grid import Grid
from optsuite.trainer._program import Program
from optsuite.trainer._state import RunState, dump, load

# Losses come to the host, and progress is told, once in so many steps.
_BLOCK = 50


class Record(NamedTuple):
    """The record of a grid, on the host."""

    train_loss_TSH: Array
    """(num_steps + 1, S, H)."""
    eval_metrics_ESH: dict[str, Array]
    """(E, S, H) by `<split>/<metric>`; empty without evaluations."""
    trial_steps: int
    """Number of trial-steps trained; fewer than asked for if trials diverged."""
    failures: dict[tuple[int, int], Exception]
    """Errors that kept single trials (s, h) from being trained, while the others were."""
    seconds: float
    """Wall-clock time of these steps and their evaluations, compilation included, loading of data not."""
    trained_as: str
    """The layout, in words."""
    peak_memory_bytes: int = -1
    """Peak of the memory on a GPU; -1 elsewhere."""


@final
class GridRun:
    """Trains one grid a block of steps at a time; what changes is in the state that is handed on.

    Configs of which every seed has diverged are dropped where that pays; the others go on as they were.

    Args:
        program_of: Gives the program for a shape; all are of one task and program spec.
        grid: Seeds and configs.
        source: Real data or the stand-in.
    """

    def __init__(
        self, program_of: Callable[[tuple[int, int]], Program], grid: Grid, source: data.Source
    ) -> None:
        self._program_of, self._grid = program_of, grid
        program = program_of(grid.shape)
        self._task, self._schedule = program.task, program.spec.schedule
        self._train = Batches(program, grid, "train", "train", source)
        self._evals = {
            split: Batches(program, grid, split, f"eval/{split}", source)
            for split in EVAL_SPLITS
            if self._schedule.eval_batches
        }
        self._warm: Program | None = None  # all that it compiles has run
        how = "compiled" if program.is_compiled else "eager"
        self._trained_as = f"{len(grid.seeds)} seeds x {len(grid.configs)} configs, {how}"
        self._identity = (
            f"{program.task.name} on {source} data, {program.spec}, {grid}, {how} on {program.device.type}, "
            f"{program.batches_at_once} batches at once"
        )

    @torch.no_grad()
    def begin(self) -> RunState:
        """Make the state before the first step."""
        grid, schedule = self._grid, self._schedule
        evaluated = (len(schedule.eval_steps()), len(EVAL_SPLITS), len(self._task.metric_names))
        return RunState(
            step=0,
            trained=self._program_of(grid.shape).start(grid),
            kept=np.arange(len(grid.configs)),
            is_alive_SH=np.ones(grid.shape, bool),
            losses_TSH=np.full((schedule.num_steps + 1, *grid.shape), np.nan, np.float32),
            metrics_ESH=np.full((*evaluated, *grid.shape), np.nan, np.float32),
        )

    def is_over(self, state: RunState) -> bool:
        """Tell whether all steps are trained, or all trials were found to have diverged at a block's end."""
        is_whole = state.step % _BLOCK == 0 or state.step > self._schedule.num_steps
        return is_whole and (state.step > self._schedule.num_steps or not state.is_alive_SH.any())

    @torch.no_grad()
    def advance(self, state: RunState, stop: int | None = None) -> RunState:
        """Train to the end of the block, waiting for the device then.

        Where a run was stopped changes no bit: blocks begin at fixed steps, and their batches are gathered
        alike.

        Args:
            state: The state before the first of the steps; not to be used afterwards.
            stop: A step before which to stop, if it comes before the block's end.
        """
        began = time.perf_counter()
        block = state.step - state.step % _BLOCK
        end = min(block + _BLOCK, self._schedule.num_steps + 1)
        stop = end if stop is None else min(stop, end)
        if stop <= state.step or self.is_over(state):
            return state
        state = self._stepped(state, range(block, end), stop)
        if stop == end:
            state = self._without_diverged(state)
        return state._replace(seconds=state.seconds + time.perf_counter() - began)

    def _stepped(self, state: RunState, block: range, stop: int) -> RunState:
        program, trained, eval_steps = self._program(state), state.trained, self._schedule.eval_steps()
        configs = tuple(self._grid.configs[h] for h in state.kept)
        hparams = program.hparams(Grid(self._grid.seeds, configs))
        train = self._train.block(block.start, block.stop)
        chunks = {
            split: _evaluated(batches, program, block, state.step) for split, batches in self._evals.items()
        }
        losses, metrics = [], []
        is_warm = program is self._warm
        # A compiler may draw from generators.
        watched = program.watch(trained.constants) if is_warm or not program.is_compiled else nullcontext()
        with watched, program.unchecked() if is_warm else nullcontext():
            some = itertools.islice(train, state.step - block.start, stop - block.start)
            for step, (batch, key) in enumerate(some, state.step):
                if step in eval_steps:
                    metrics.append(_evaluate(program, chunks, program.params_to_evaluate(trained), step))
                trained, loss_SH = program.step(trained, hparams, batch, key)
                losses.append(loss_SH)
        if len(losses) > 1 and (metrics or not self._evals):  # strides may change after the first step
            self._warm = program
        state.losses_TSH[state.step : stop][..., state.kept] = loss_TSH = torch.stack(losses).cpu().numpy()
        if metrics:
            first = sum(step < state.step for step in eval_steps)
            evals = slice(first, first + len(metrics))
            state.metrics_ESH[evals][..., state.kept] = torch.stack(metrics).cpu().numpy()
        return state._replace(
            step=stop,
            trained=trained,
            is_alive_SH=state.is_alive_SH & np.isfinite(loss_TSH).all(0),
            trial_steps=state.trial_steps + loss_TSH.size,
        )

    def _without_diverged(self, state: RunState) -> RunState:
        is_alive_H, program = state.is_alive_SH.any(0), self._program(state)
        num_steps = self._schedule.num_steps + 1 - state.step
        if not is_alive_H.any() or not program.drops(1 - is_alive_H.mean(), num_steps):
            return state
        return state._replace(
            trained=program.keep(state.trained, np.asarray(is_alive_H)),
            kept=state.kept[is_alive_H],
            is_alive_SH=state.is_alive_SH[:, is_alive_H],
        )

    def finish(self, state: RunState) -> Record:
        """Give what was recorded."""
        names = self._task.metric_names if len(state.metrics_ESH) else ()
        metrics = {
            f"{split}/{name}": state.metrics_ESH[:, i, j]
            for i, split in enumerate(EVAL_SPLITS)
            for j, name in enumerate(names)
        }
        failures = self._program(state).failures(state.trained)
        return Record(state.losses_TSH, metrics, state.trial_steps, failures, state.seconds, self._trained_as)

    @torch.no_grad()
    def dump(self, state: RunState) -> Arrays:
        """Copy a state to the host: arrays of numbers and text by name. See `_state.dump`."""
        return dump(state, self._program(state), self._identity)

    def load(self, arrays: Arrays) -> RunState:
        """Rebuild a state that was dumped, in fresh objects. See `_state.load`."""
        return load(arrays, self._program_of, self._grid, self._identity)

    def _program(self, state: RunState) -> Program:
        return self._program_of((len(self._grid.seeds), len(state.kept)))


def train_grid(
    program_of: Callable[[tuple[int, int]], Program],
    grid: Grid,
    source: data.Source,
    tell: Callable[[int], None],
) -> Record:
    """Train every trial of a grid from its initial parameters to the end.

    Args:
        program_of: As for `GridRun`.
        grid: As for `GridRun`.
        source: As for `GridRun`.
        tell: Called now and then with the number of steps done since the last call.
    """
    run = GridRun(program_of, grid, source)
    state = run.begin()
    while not run.is_over(state):
        start = state.step
        state = run.advance(state)
        tell(state.step - start)
    return run.finish(state)


def _evaluated(
    batches: Batches, program: Program, block: range, start: int
) -> Iterator[tuple[Batch, Tensor]]:
    """Give what a split's evaluations from step `start` to the block's end take, one after the other."""
    schedule, at_once = program.spec.schedule, program.batches_at_once
    counts = {step: schedule.batches_at(step) for step in schedule.eval_steps() if step in block}
    first = -(-block.start // schedule.eval_every) * schedule.eval_batches
    chunks = batches.chunks(first, first + sum(counts.values()), at_once)
    return itertools.islice(chunks, sum(n for step, n in counts.items() if step < start) // at_once, None)


def _evaluate(
    program: Program, chunks: Mapping[str, Iterator[tuple[Batch, Tensor]]], params: Params, step: int
) -> Tensor:
    """Give the mean over the batches of this evaluation, (splits, metrics, S, H)."""
    count = program.spec.schedule.batches_at(step) // program.batches_at_once
    means = []
    for split in chunks.values():
        metrics = [program.evaluate(params, *chunk) for chunk in itertools.islice(split, count)]
        means.append(torch.cat(metrics, 2).mean(2).movedim(-1, 0))  # from (S, H, batches, metrics)
    return torch.stack(means)
