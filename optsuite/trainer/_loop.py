"""Trains one grid: the steps, the evaluations, and what they leave on the host."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from optsuite import data
from optsuite._types import Array, Batch, Params
from optsuite.noise import fold_in, key_from
from optsuite.trainer._grid import Grid
from optsuite.trainer._program import Program

__all__ = ["Record", "train_grid"]

EVAL_SPLITS = ("train", "outer_valid", "test")

# Losses come to the host, and progress is told, once in so many steps.
_BLOCK = 50


class Record(NamedTuple):
    """What a grid recorded, on the host."""

    train_loss_TSH: Array
    """(num_steps + 1, S, H)."""
    eval_metrics_ESH: dict[str, Array]
    """(E, S, H) by `<split>/<metric>`; empty without evaluations."""
    num_steps: int
    """Steps that were trained: fewer than asked for if every trial diverged."""
    failures: dict[tuple[int, int], Exception]
    """What kept single trials (s, h) from being trained, while the others were."""
    seconds: float
    """Wall-clock time of these steps and their evaluations, compilation included, loading of data not."""


class _Batches:
    """The batches of one stream for every seed of a grid."""

    def __init__(self, program: Program, grid: Grid, split: str, name: str, source: data.Source) -> None:
        task, self._device = program.task, program.device
        self._examples = data.load(task.dataset, split, source=source, device=self._device)
        self._streams = [
            data.IndexStream(len(self._examples), task.batch_size, seed=seed, name=name)
            for seed in grid.seeds
        ]
        self._keys_S = torch.tensor([key_from(seed, "noise", name) for seed in grid.seeds])

    def block(self, start: int, stop: int) -> Iterator[tuple[Batch, Tensor]]:
        """Batches number `start` to `stop - 1`, (S, B, ...) each, with their noise keys (S,)."""
        index_TSB = self._moved(torch.stack([s.block(start, stop) for s in self._streams], 1))
        keys_TS = self._moved(fold_in(self._keys_S, torch.arange(start, stop)[:, None]))
        for index_SB, key_S in zip(index_TSB, keys_TS, strict=True):
            yield self._examples.gather(index_SB), key_S

    def _moved(self, tensor: Tensor) -> Tensor:
        # From pinned memory the copy does not make the host wait for the steps before it.
        is_cuda = self._device.type == "cuda"
        return (tensor.pin_memory() if is_cuda else tensor).to(self._device, non_blocking=is_cuda)


@torch.no_grad()
def train_grid(program: Program, grid: Grid, source: data.Source, tell: Callable[[int], None]) -> Record:
    """Train every trial of a grid from its initial parameters.

    Args:
        program: Made for the grid's shape.
        grid: Seeds and configs.
        source: Real data or the stand-in.
        tell: Called now and then with the number of steps done since the last call.
    """
    schedule = program.rule.schedule
    train = _Batches(program, grid, "train", "train", source)
    evals = {
        split: _Batches(program, grid, split, f"eval/{split}", source)
        for split in EVAL_SPLITS
        if schedule.eval_batches
    }
    hparams = program.hparams(grid)
    params, opt_state = program.start(grid)
    began = time.perf_counter()
    losses: list[Array] = []
    metrics: list[Tensor] = []
    is_alive_SH = np.ones(grid.shape, bool)
    for start in range(0, schedule.num_steps + 1, _BLOCK):
        stop = min(start + _BLOCK, schedule.num_steps + 1)
        block_losses = []
        # Shapes and devices stay those of the first block: to check them again costs a small task 5 to 10 %.
        with torch.compiler.set_stance(skip_guard_eval_unsafe=start > 0):
            for step, (batch, key) in enumerate(train.block(start, stop), start):
                if step in schedule.eval_steps():
                    evaluated = program.params_to_evaluate(params, opt_state)
                    metrics.append(_evaluate(program, evals, evaluated, step))
                params, opt_state, loss_SH = program.step(params, opt_state, hparams, batch, key)
                block_losses.append(loss_SH)
        losses.append(torch.stack(block_losses).cpu().numpy())
        tell(stop - start)
        is_alive_SH &= np.isfinite(losses[-1]).all(0)
        if not is_alive_SH.any():
            break  # every trial has diverged: the rest of their curves is NaN
    return Record(
        _padded(np.concatenate(losses), schedule.num_steps + 1),
        _by_name(program, metrics, len(schedule.eval_steps())),
        sum(map(len, losses)),
        program.failures(opt_state),
        time.perf_counter() - began,
    )


def _evaluate(program: Program, evals: dict[str, _Batches], params: Params, step: int) -> Tensor:
    """(splits, metrics, S, H): the mean over the batches of this evaluation."""
    schedule = program.rule.schedule
    count = schedule.batches_at(step)
    first = step // schedule.eval_every * schedule.eval_batches
    means = []
    for batches in evals.values():
        sums = [program.evaluate(params, batch, key) for batch, key in batches.block(first, first + count)]
        means.append(torch.stack(sums).mean(0).movedim(-1, 0))
    return torch.stack(means)


def _padded(values: Array, length: int) -> Array:
    """Fill up with NaN to `length` rows."""
    missing = np.full((length - len(values), *values.shape[1:]), np.nan, values.dtype)
    return np.concatenate([values, missing])


def _by_name(program: Program, metrics: list[Tensor], num_evals: int) -> dict[str, Array]:
    if not metrics:
        return {}
    stacked = _padded(torch.stack(metrics).cpu().numpy(), num_evals)
    return {
        f"{split}/{name}": stacked[:, i, j]
        for i, split in enumerate(EVAL_SPLITS)
        for j, name in enumerate(program.task.metric_names)
    }
