"""Trains one grid: the steps, the evaluations, and what they leave on the host."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from optsuite import data
from optsuite._types import Batch, Params
from optsuite.curves import EVAL_SPLITS
from optsuite.errors import StorageError, in_words
from optsuite.trainer._batches import Batches
from optsuite.trainer._dump import Arrays
from optsuite.trainer._grid import Grid
from optsuite.trainer._identity import check_identity, identity
from optsuite.trainer._memory import is_out_of_memory
from optsuite.trainer._program import Program, Trained
from optsuite.trainer._seal import check_same, digests, sealed, text_of, unsealed
from optsuite.trainer._state import Record, RunState

# Losses come to the host, and progress is told, once in so many steps.
_BLOCK = 50

# Fields of a state that are dumped as they are.
_PLAIN = tuple(name for name in RunState._fields if name != "trained")


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
        how = ", ".join(filter(None, ("compiled" if program.how.is_compiled else "eager", program.manner)))
        self._trained_as = f"{len(grid.seeds)} seeds x {len(grid.configs)} configs, {how}"
        way = {"way": f"{how}, {program.batches_at_once} batches at once"}
        self._identity = identity(program.task, program.spec, grid, program.device, source) | way

    @torch.no_grad()
    def begin(self) -> RunState:
        """Make the state before the first step."""
        return self._empty()._replace(trained=self._program_of(self._grid.shape).start(self._grid))

    def _empty(self) -> RunState:
        """Make the state before the first step, but for what is trained."""
        grid, schedule = self._grid, self._schedule
        evaluated = (len(schedule.eval_steps()), len(EVAL_SPLITS), len(self._task.metric_names))
        return RunState(
            step=0,
            trained=Trained({}, (), (), {}),
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
        shape = stop - state.step, *program.shape
        loss_TSH, metrics = torch.empty(shape, dtype=torch.float32, device=program.device), []
        with program.watch(trained.constants):
            some = itertools.islice(train, state.step - block.start, stop - block.start)
            for step, (batch, key) in enumerate(some, state.step):
                if step in eval_steps:
                    metrics.append(_evaluate(program, chunks, trained, hparams, step))
                trained, loss_SH = program.step(trained, hparams, batch, key)
                loss_TSH[step - state.step] = loss_SH  # the next step may write over it
        losses_TSH = loss_TSH.cpu().numpy()
        state.losses_TSH[state.step : stop][..., state.kept] = losses_TSH
        if metrics:
            first = sum(step < state.step for step in eval_steps)
            evals = slice(first, first + len(metrics))
            state.metrics_ESH[evals][..., state.kept] = torch.stack(metrics).cpu().numpy()
        return state._replace(
            step=stop,
            trained=trained,
            is_alive_SH=state.is_alive_SH & np.isfinite(losses_TSH).all(0),
            trial_steps=state.trial_steps + losses_TSH.size,
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
        """Copy a state to the host: arrays of numbers and text by name, from which `load` rebuilds it.

        The state stays valid.

        Raises:
            UnsupportedError: An optimizer class keeps something that cannot be put into arrays.
        """
        arrays = {name: np.array(getattr(state, name)) for name in _PLAIN}
        about = np.array(json.dumps(self._identity))
        return sealed({"identity": about, **arrays, **self._program(state).dump(state.trained)})

    @torch.no_grad()
    def load(self, arrays: Arrays) -> RunState:
        """Rebuild a state that was dumped, in fresh objects.

        Raises:
            StorageError: The arrays are of another run, incomplete, or do not lead to the same state again.
        """
        found = unsealed(arrays)
        check_identity(self._identity, text_of(found, "identity"))
        plain = self._plain(found)
        program = self._program_of(self._grid.shape)
        trained = program.start(self._grid)
        is_kept = np.isin(np.arange(len(self._grid.configs)), plain["kept"])
        if not is_kept.all():
            trained = program.keep(trained, is_kept)
        state = RunState(trained=trained, **plain)
        try:
            state = state._replace(trained=self._program(state).load(trained, found))
            again = self.dump(state)
        except StorageError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise StorageError(f"a run's state cannot be loaded ({in_words(error)})") from error
        words = "a run's state is not the same after it was loaded"
        check_same(digests(arrays), digests(again), words)
        return state

    def _plain(self, arrays: Arrays) -> dict[str, Any]:
        """Read what is not trained, and check its shapes, types and bounds.

        Raises:
            StorageError: Names what is wrong.
        """
        fresh, num_seeds = self._empty()._asdict(), len(self._grid.seeds)
        plain: dict[str, Any] = {}
        for name in _PLAIN:
            array, like = arrays.get(name, np.array(())), np.asarray(fresh[name])
            shape = {"kept": (array.size,), "is_alive_SH": (num_seeds, plain.get("kept", like).size)}
            if (array.dtype, array.shape) != (like.dtype, needed := shape.get(name, like.shape)):
                raise StorageError(
                    f"`{name}` of a run's state needed as {like.dtype} of {needed}, got {array.dtype} of "
                    f"{array.shape}"
                )
            plain[name] = array.copy() if array.ndim else array.item()
        kept, is_ascending = plain["kept"], (np.diff(plain["kept"]) > 0).all()
        if not kept.size or not is_ascending or kept[0] < 0 or kept[-1] >= len(self._grid.configs):
            raise StorageError(f"`kept` of a run's state must be numbers of configs, ascending, got {kept}")
        for name, most in {
            "step": self._schedule.num_steps + 1,
            "trial_steps": np.inf,
            "seconds": np.inf,
        }.items():
            if not 0 <= plain[name] <= most:
                raise StorageError(f"`{name}` of a run's state must be 0 to {most}, got {plain[name]}")
        return plain

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
    program: Program,
    chunks: Mapping[str, Iterator[tuple[Batch, Tensor]]],
    trained: Trained,
    hparams: Params,
    step: int,
) -> Tensor:
    """Give the mean over the batches of this evaluation, (splits, metrics, S, H)."""
    count = program.spec.schedule.batches_at(step) // program.batches_at_once
    params = program.params_to_evaluate(trained, hparams)
    carry = program.carry_to_evaluate(trained)
    means = []
    for split in chunks.values():
        metrics = [
            program.functions.evaluate(params, carry, *chunk).clone()  # the next pass may write over it
            for chunk in itertools.islice(split, count)
        ]
        means.append(torch.cat(metrics, 2).mean(2).movedim(-1, 0))  # from (S, H, batches, metrics)
    return torch.stack(means)
