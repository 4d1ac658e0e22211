"""What a session will do, before it does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from optsuite import data
from optsuite.hparam_sets import Config, Trial
from optsuite.sweep._cells import Cell, Store
from optsuite.sweep._cost import estimated_seconds
from optsuite.sweep._run import missing_trials

__all__ = ["Plan", "plan"]


class Plan(NamedTuple):
    """What a session will do, before it does it."""

    missing: dict[Cell, list[Trial]]
    """The trials to train, by cell."""
    num_recorded: int
    """Trials that are recorded already."""
    seconds: float
    """Estimated time to train."""
    num_bytes: int
    """Estimated size of the curves."""
    sources: dict[str, data.Source]
    """Kind of data, by dataset."""

    @property
    def num_missing(self) -> int:
        """Trials to train."""
        return sum(map(len, self.missing.values()))


def plan(
    cells: Mapping[Cell, Sequence[Config]],
    *,
    roots: tuple[str | None, str | None],
    mode: str | None,
    rerun: str,
    device: torch.device,
) -> Plan:
    """Look at the store, and estimate what training the rest costs.

    Args:
        cells: The configs to run, by cell.
        roots: Of curves and archives, as for `Store.at`.
        mode: Data: auto, real or synthetic; None reads `OPTSUITE_DATA`.
        rerun: One of `RERUNS`.
        device: Where it would run.

    Raises:
        DataError: Real data were asked for and are not there.
        StorageError: The store cannot be listed.
    """
    sources = {cell.task.dataset.dataset: cell.source(mode) for cell in cells}
    missing, seconds, num_bytes, num_recorded = {}, 0.0, 0, 0
    for cell, configs in cells.items():
        source = sources[cell.task.dataset.dataset]
        trials = cell.trials(configs)
        missing[cell] = missing_trials(trials, Store.at(*roots, source), source, rerun, set_aside=False)
        num_recorded += len(trials) - len(missing[cell])
        seconds += estimated_seconds(cell.task, missing[cell], device)
        num_bytes += sum(map(_curve_bytes, missing[cell]))
    return Plan(missing, num_recorded, seconds, num_bytes, dict(sorted(sources.items())))


def _curve_bytes(trial: Trial) -> int:
    # float32 noise hardly compresses; an evaluated metric is kept for each of three splits.
    return 8000 + 4 * trial.schedule.num_steps + 36 * len(trial.schedule.eval_steps())
