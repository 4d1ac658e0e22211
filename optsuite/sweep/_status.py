"""The state of a cell, as its store tells it: done, failed, being trained, stopped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from optsuite import data, storage
from optsuite.curves import Curve
from optsuite.errors import StorageError, quoted
from optsuite.hparam_sets import Trial
from optsuite.storage import Holder, Store
from optsuite.sweep._groups import GroupFile, read_failures, read_groups
from optsuite.sweep._matrix import Cell
from optsuite.sweep._recorded import missing_trials, recorded


class GroupStatus(NamedTuple):
    """A group of trials that is not wholly recorded."""

    num_trials: int
    """Number of its trials that are asked about and not recorded."""
    holder: Holder | None
    """Process that has claimed it, living or dead; None where its training was stopped in good order."""
    is_saved: bool
    """Whether it has a checkpoint."""

    @property
    def is_running(self) -> bool:
        """Whether a process that lives trains it."""
        return self.holder is not None and not self.holder.is_dead


class CellStatus(NamedTuple):
    """The state of a cell."""

    num_trials: int
    num_recorded: int
    num_diverged: int
    """Number of recorded trials that diverged."""
    groups: list[GroupStatus]
    """Groups that train or wait for somebody to go on with them."""
    failures: dict[Trial, str]
    """Reasons why trials failed when they were last trained, or why their curve cannot be read."""

    @property
    def num_running(self) -> int:
        """Number of trials that processes train which live."""
        return sum(group.num_trials for group in self.groups if group.is_running)

    @property
    def num_stopped(self) -> int:
        """Number of trials whose training was stopped, or whose process died."""
        return sum(group.num_trials for group in self.groups if not group.is_running)


def status_of(cell: Cell, source: data.Source, store: Store) -> CellStatus:
    """Look at the store for what became of a cell's trials.

    Args:
        cell: The cell.
        source: Kind of data.
        store: Store of results on that kind of data.

    Raises:
        StorageError: The store cannot be reached.
    """
    ids = {trial.id(source): trial for trial in cell.trials()}
    missing = set(missing_trials(list(ids.values()), store, source))
    outcomes = recorded([trial for trial in ids.values() if trial not in missing], store, source)
    done = [outcome.result for outcome in outcomes if isinstance(outcome.result, Curve)]
    failures = {
        outcome.trial: quoted(outcome.result)
        for outcome in outcomes
        if isinstance(outcome.result, StorageError)
    }
    for identity, cause in read_failures(store, cell.task_name).items():
        if (trial := ids.get(identity)) in missing:
            failures[trial] = cause
    groups = [
        status
        for group in read_groups(store, cell.task_name)
        if (status := _group_status(group, ids, missing)) is not None
    ]
    return CellStatus(len(ids), len(done), sum(curve.is_diverged for curve in done), groups, failures)


def _group_status(group: GroupFile, ids: Mapping[str, Trial], missing: set[Trial]) -> GroupStatus | None:
    num_trials = sum(ids.get(identity) in missing for identity in group.trial_ids)
    if not num_trials:
        return None
    return GroupStatus(num_trials, storage.holder_of(group.stem), storage.exists(group.state_url))
