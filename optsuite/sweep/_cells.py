"""Cells of the matrix."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from optsuite import data
from optsuite.hparam_sets import Config, HParamSet, Trial
from optsuite.tasks import Task, get_task


@dataclass(frozen=True)
class Cell:
    """One task and one hparam set."""

    task_name: str
    hparam_set: HParamSet
    precision: str = "float32"
    """As for `Trial`."""

    @property
    def name(self) -> str:
        """`<task>-<set>`."""
        return f"{self.task_name}-{self.hparam_set.name}"

    @property
    def task(self) -> Task:
        """The task itself."""
        return get_task(self.task_name)

    def source(self, mode: str | None) -> data.Source:
        """Kind of data that the task trains on, as `data.resolve_source` decides."""
        return data.resolve_source(self.task.dataset.dataset, mode)

    def trials(self, configs: Iterable[Config] | None = None) -> list[Trial]:
        """The trials of all configs, or of some."""
        kept = None if configs is None else {config.label for config in configs}
        every = self.hparam_set.trials(self.task_name, self.precision)
        return [trial for trial in every if kept is None or trial.config.label in kept]
