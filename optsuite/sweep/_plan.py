"""The work of a session, before it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch

from optsuite import data
from optsuite.errors import OptsuiteError
from optsuite.hparam_sets import Config, Trial
from optsuite.storage import Store
from optsuite.sweep._cost import Cost, estimated_cost, measured_speed
from optsuite.sweep._matrix import Cell
from optsuite.sweep._recorded import missing_trials
from optsuite.words import duration

# Time until a process beside this one has imported torch.
_START_SECONDS = 6.0


class CellPlan(NamedTuple):
    """The work to do for one cell."""

    missing: list[Trial]
    """Trials to train."""
    num_recorded: int
    """Trials that are recorded already."""
    cost: Cost
    """Estimated cost of training them in one process."""
    num_bytes: int
    """Estimated size of their curves."""


class Plan(NamedTuple):
    """The work of a session, before it is done."""

    cells: dict[Cell, CellPlan]
    """Cells that are left to run."""
    sources: dict[str, data.Source]
    """Kind of data that is used, by dataset."""
    num_workers: int = 1
    """Number of processes that share the work."""
    over_budget: tuple[Cell, ...] = ()
    """Cells that do not fit the budget."""
    without_data: Mapping[Cell, OptsuiteError] = MappingProxyType({})
    """Cells whose data were asked for and are missing, with what to do; each fails when it runs."""

    @property
    def num_missing(self) -> int:
        """Number of trials to train."""
        return sum(len(one.missing) for one in self.cells.values())

    @property
    def num_recorded(self) -> int:
        """Number of trials that are recorded already."""
        return sum(one.num_recorded for one in self.cells.values())

    @property
    def cost(self) -> Cost:
        """Estimated cost of training all trials, by all workers."""
        total = sum((one.cost for one in self.cells.values()), Cost())
        seconds = self._seconds(total.seconds, self.num_missing)
        memory = total.memory_bytes * min(self.num_workers, self.num_missing)
        return Cost(seconds, total.flops, memory, total.is_known)

    @property
    def num_bytes(self) -> int:
        """Estimated size of all curves to record."""
        return sum(one.num_bytes for one in self.cells.values())

    def _seconds(self, alone: float, num_trials: int) -> float:
        """Return the time of all workers for what one does in `alone` seconds; a trial has one worker."""
        if self.num_workers == 1 or not num_trials:
            return alone
        return _START_SECONDS + alone / min(self.num_workers, num_trials)

    def within(self, seconds: float) -> Plan:
        """Return the plan of the cells that fit a time budget, the cheapest first.

        Args:
            seconds: The budget.

        Raises:
            OptsuiteError: Not one cell fits.
        """
        kept: set[Cell] = set()
        alone, num_trials = 0.0, 0
        for cell, one in sorted(self.cells.items(), key=lambda item: item[1].cost.seconds):
            alone, num_trials = alone + one.cost.seconds, num_trials + len(one.missing)
            spent = self._seconds(alone, num_trials)
            if spent > seconds and not kept:
                raise OptsuiteError(
                    f"no cell fits a budget of {duration(seconds)}: the cheapest takes about "
                    f"{duration(spent)}; give it more time, or fewer steps or repetitions"
                )
            if spent > seconds:
                break
            kept.add(cell)
        cells = {cell: one for cell, one in self.cells.items() if cell in kept}
        datasets = {cell.task.dataset.dataset for cell in cells}
        sources = {name: source for name, source in self.sources.items() if name in datasets}
        left_out = tuple(cell for cell in self.cells if cell not in kept)
        return self._replace(cells=cells, sources=sources, over_budget=left_out)


def plan(
    cells: Mapping[Cell, Sequence[Config]],
    *,
    roots: tuple[str | None, str | None],
    mode: str | None,
    rerun: str,
    device: torch.device,
    num_workers: int = 1,
) -> Plan:
    """Look at the store, and estimate what training the rest costs.

    Args:
        cells: The configs to run, by cell.
        roots: Roots of curves and archives as they are given to `Store.at`.
        mode: Data to train on: auto, real or synthetic; None reads `OPTSUITE_DATA`.
        rerun: One of `choices.RERUNS`.
        device: Where it would run; its speed is measured.
        num_workers: Number of processes that share the work and the cores.

    Raises:
        StorageError: The store cannot be listed.
    """
    num_threads = max(1, torch.get_num_threads() // num_workers)
    planned, sources, without_data = {}, {}, {}
    for cell, configs in cells.items():
        try:
            source = cell.source(mode)
        except OptsuiteError as error:
            without_data[cell] = error
            continue
        sources[cell.task.dataset.dataset] = source
        trials = cell.trials(configs)
        store = Store.at(*roots, source, cell.precision)
        missing = missing_trials(trials, store, source, rerun, set_aside=False)
        cost = Cost()
        if missing:
            cost = estimated_cost(cell.task, missing, device, measured_speed(device, num_threads))
        num_bytes = sum(map(_curve_bytes, missing))
        planned[cell] = CellPlan(missing, len(trials) - len(missing), cost, num_bytes)
    return Plan(planned, dict(sorted(sources.items())), num_workers, without_data=without_data)


def _curve_bytes(trial: Trial) -> int:
    """Estimate the size of a trial's file."""
    # float32 noise hardly compresses; an evaluated metric is kept for each of three splits.
    return 8000 + 4 * trial.schedule.num_steps + 36 * len(trial.schedule.eval_steps())
