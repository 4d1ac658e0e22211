"""Trains one grid: the steps, the evaluations, and what they leave on the host."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from optsuite import data
from optsuite._types import Array, Batch, Params
from optsuite.curves import EVAL_SPLITS
from optsuite.trainer._batches import Batches
from optsuite.trainer._grid import Grid
from optsuite.trainer._program import Program, configs_of

__all__ = ["Record", "train_grid"]

# Losses come to the host, and progress is told, once in so many steps.
_BLOCK = 50


class Record(NamedTuple):
    """What a grid recorded, on the host."""

    train_loss_TSH: Array
    """(num_steps + 1, S, H)."""
    eval_metrics_ESH: dict[str, Array]
    """(E, S, H) by `<split>/<metric>`; empty without evaluations."""
    trial_steps: int
    """That were trained: fewer than asked for if trials diverged."""
    failures: dict[tuple[int, int], Exception]
    """What kept single trials (s, h) from being trained, while the others were."""
    seconds: float
    """Wall-clock time of these steps and their evaluations, compilation included, loading of data not."""


class _Results:
    """What a grid recorded, on the host; NaN where a trial was no longer trained."""

    def __init__(self, program: Program, grid: Grid) -> None:
        schedule, self._names = program.rule.schedule, program.task.metric_names
        evaluated = (len(schedule.eval_steps()), len(EVAL_SPLITS), len(self._names))
        self.losses_TSH = np.full((schedule.num_steps + 1, *grid.shape), np.nan, np.float32)
        self._metrics = np.full((*evaluated, *grid.shape), np.nan, np.float32)
        self.num_steps = self._num_evals = 0

    def add(self, losses: list[Tensor], metrics: list[Tensor], kept: Array) -> Array:
        """Take in steps and evaluations of the configs that are kept; waits for the device.

        Returns:
            (S, kept): whether all of these losses are finite.
        """
        steps = slice(self.num_steps, self.num_steps + len(losses))
        evals = slice(self._num_evals, self._num_evals + len(metrics))
        self.losses_TSH[steps][..., kept] = block = torch.stack(losses).cpu().numpy()
        if metrics:
            self._metrics[evals][..., kept] = torch.stack(metrics).cpu().numpy()
        self.num_steps, self._num_evals = steps.stop, evals.stop
        is_finite: Array = np.isfinite(block).all(0)
        return is_finite

    def eval_metrics(self) -> dict[str, Array]:
        """(E, S, H) by `<split>/<metric>`; empty without evaluations."""
        if not len(self._metrics):
            return {}
        return {
            f"{split}/{name}": self._metrics[:, i, j]
            for i, split in enumerate(EVAL_SPLITS)
            for j, name in enumerate(self._names)
        }


@torch.no_grad()
def train_grid(
    program_of: Callable[[tuple[int, int]], Program],
    grid: Grid,
    source: data.Source,
    tell: Callable[[int], None],
) -> Record:
    """Train every trial of a grid from its initial parameters.

    Configs of which every seed has diverged are dropped where that pays; the others go on as they were.

    Args:
        program_of: Gives the program for a shape; all are of one task and rule.
        grid: Seeds and configs.
        source: Real data or the stand-in.
        tell: Called now and then with the number of steps done since the last call.
    """
    program = program_of(grid.shape)
    schedule = program.rule.schedule
    train = Batches(program, grid, "train", "train", source)
    evals = {
        split: Batches(program, grid, split, f"eval/{split}", source)
        for split in EVAL_SPLITS
        if schedule.eval_batches
    }
    hparams = program.hparams(grid)
    params, opt_state = program.start(grid)
    began = time.perf_counter()
    results = _Results(program, grid)
    kept, is_alive_SH, is_warm = np.arange(len(grid.configs)), np.ones(grid.shape, bool), False
    trial_steps = 0
    for start in range(0, schedule.num_steps + 1, _BLOCK):
        stop = min(start + _BLOCK, schedule.num_steps + 1)
        losses, metrics = [], []
        chunks = {split: _evaluated(batches, program, start, stop) for split, batches in evals.items()}
        with program.unchecked() if is_warm else nullcontext():
            for step, (batch, key) in enumerate(train.block(start, stop), start):
                if step in schedule.eval_steps():
                    evaluated = program.params_to_evaluate(params, opt_state)
                    metrics.append(_evaluate(program, chunks, evaluated, step))
                params, opt_state, loss_SH = program.step(params, opt_state, hparams, batch, key)
                losses.append(loss_SH)
        is_alive_SH &= results.add(losses, metrics, kept)
        trial_steps += len(losses) * is_alive_SH.size
        is_warm = is_warm or bool(metrics) or not evals  # all that is compiled has run
        tell(stop - start)
        is_alive_H = np.asarray(is_alive_SH.any(0))
        if not is_alive_H.any():
            break
        if program.drops(1 - is_alive_H.mean(), schedule.num_steps + 1 - stop):
            is_warm = False
            kept, is_alive_SH = kept[is_alive_H], is_alive_SH[:, is_alive_H]
            params, opt_state = program.keep(params, opt_state, is_alive_H)
            hparams = configs_of(hparams, is_alive_H, axis=0)
            program = program_of((len(grid.seeds), len(kept)))
    return Record(
        results.losses_TSH,
        results.eval_metrics(),
        trial_steps,
        program.failures(opt_state),
        time.perf_counter() - began,
    )


def _evaluated(batches: Batches, program: Program, start: int, stop: int) -> Iterator[tuple[Batch, Tensor]]:
    """What a split's evaluations before steps `start` to `stop - 1` take, one after the other."""
    schedule = program.rule.schedule
    steps = [step for step in schedule.eval_steps() if start <= step < stop]
    first = -(-start // schedule.eval_every) * schedule.eval_batches
    return batches.chunks(first, first + sum(map(schedule.batches_at, steps)), program.batches_at_once)


def _evaluate(
    program: Program, chunks: Mapping[str, Iterator[tuple[Batch, Tensor]]], params: Params, step: int
) -> Tensor:
    """(splits, metrics, S, H): the mean over the batches of this evaluation."""
    count = program.rule.schedule.batches_at(step) // program.batches_at_once
    means = []
    for split in chunks.values():
        metrics = [program.evaluate(params, *chunk) for chunk in itertools.islice(split, count)]
        means.append(torch.cat(metrics, 2).mean(2).movedim(-1, 0))  # from (S, H, batches, metrics)
    return torch.stack(means)
