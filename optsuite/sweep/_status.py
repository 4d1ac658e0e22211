"""The state of a cell, as its store tells it: done, failed, being trained, stopped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from optsuite import curves, data, storage
from optsuite.curves import Curve
from optsuite.errors import StorageError, quoted
from optsuite.hparam_sets import Trial, ids_of
from optsuite.storage import Holder, Store
from optsuite.sweep._groups import read_failures, read_groups
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
    failures: dict[str, str]
    """Reasons why trials failed when they were last trained, or why their curve cannot be read, by id."""

    @property
    def num_running(self) -> int:
        """Number of trials that processes train which live."""
        return sum(group.num_trials for group in self.groups if group.is_running)

    @property
    def num_stopped(self) -> int:
        """Number of trials whose training was stopped, or whose process died."""
        return sum(group.num_trials for group in self.groups if not group.is_running)


def status_of(cell: Cell, source: data.Source, store: Store) -> CellStatus:
    """Look at the store for what became of a cell's trials; their data need not be on this machine.

    Args:
        cell: The cell.
        source: Kind of data.
        store: Store of results on that kind of data.

    Raises:
        StorageError: The store cannot be reached.
    """
    trials = cell.trials()
    ids = ids_of(trials, source)
    found = _found(trials, source, store) if ids is None else _found_of(trials, source, store)
    done = [result for result in found.values() if isinstance(result, Curve)]
    failures = {
        identity: quoted(result) for identity, result in found.items() if isinstance(result, StorageError)
    }

    def is_left(identity: str, cell_name: str) -> bool:
        return identity not in found and (cell_name == cell.name if ids is None else identity in ids)

    for identity, failure in read_failures(store, cell.task_name).items():
        if is_left(identity, failure.cell_name):
            failures[identity] = failure.cause
    groups = list[GroupStatus]()
    for group in read_groups(store, cell.task_name):
        if num_left := sum(is_left(identity, group.cell_name) for identity in group.trial_ids):
            is_saved = storage.exists(group.state_url)
            groups.append(GroupStatus(num_left, storage.holder_of(group.stem), is_saved))
    return CellStatus(len(trials), len(done), sum(curve.is_diverged for curve in done), groups, failures)


def _found_of(trials: Sequence[Trial], source: data.Source, store: Store) -> dict[str, Curve | Exception]:
    """Read the curves of trials, or why they cannot be read, by id."""
    missing = set(missing_trials(trials, store, source))
    outcomes = recorded([trial for trial in trials if trial not in missing], store, source)
    return {outcome.trial.id(source): outcome.result for outcome in outcomes}


def _found(trials: Sequence[Trial], source: data.Source, store: Store) -> dict[str, Curve | Exception]:
    """Read the curves of trials whose data are elsewhere, so that only their configs and seeds are known."""
    seeds = {trial.seed for trial in trials}
    folders = list(dict.fromkeys(trial.folder(store.curves) for trial in trials))
    found: dict[str, Curve | Exception] = {}
    for files in curves.read_each(folders, threads=storage.THREADS):
        for url, result in files.items():
            identity = curves.trial_id_of(url) or url
            if isinstance(result, StorageError):
                found.setdefault(identity, result)
            elif (curve := Curve(result)).seed in seeds and curve["data_source"] == source:
                found[identity] = curve
    return found
