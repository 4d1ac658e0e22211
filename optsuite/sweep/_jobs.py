"""Jobs: the trials of a cell that are still to be trained, whole or in parts."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from optsuite import data, storage
from optsuite.curves import SUFFIX
from optsuite.hparam_sets import Config, Trial, facts_of
from optsuite.storage import Store
from optsuite.sweep._matrix import Cell
from optsuite.sweep._recorded import missing_trials, recorded
from optsuite.trainer import Outcome


@dataclass(frozen=True)
class Job:
    """Trials of one cell that are to be trained and recorded; holds all that another process must know."""

    name: str
    """Name of the cell."""
    task_name: str
    trials: tuple[Trial, ...]
    store: Store
    source: data.Source
    rerun: str = "missing"
    """`missing` leaves out what was recorded since, so that the same job may run twice; `all` does not."""
    asked: tuple[Trial, ...] = ()
    """All trials of the cell that were asked for, recorded ones and those of other parts too."""
    run: str = ""
    """Word that is the same in all jobs of a run, and in no other."""
    save_every_s: float = math.inf
    """Seconds of training after which the state of a group is saved again; infinite: only when stopped."""
    facts: Mapping[Trial, Mapping[str, object]] = field(default_factory=dict)
    """Facts of its trials where it was made, which another process holds against its own."""
    part: int = 0
    """Number of this part, where several jobs do the work of one."""

    @property
    def num_steps(self) -> int:
        """Number of trial-steps to train."""
        return sum(trial.schedule.num_steps + 1 for trial in self.trials)


def prepare(
    cell: Cell,
    configs: Sequence[Config],
    *,
    roots: tuple[str | None, str | None],
    mode: str | None = None,
    rerun: str = "missing",
    run: str = "",
    save_every_s: float = math.inf,
) -> tuple[Job, list[Outcome]]:
    """Find out what is left to train of a cell, and read the outcomes of the other trials.

    Args:
        cell: The cell.
        configs: The configs of the cell to run.
        roots: Roots of curves and archives, as for `Store.at`.
        mode: Data to train on: auto, real or synthetic; None reads `OPTSUITE_DATA`.
        rerun: One of `choices.RERUNS`.
        run: Word that is the same in all jobs of a run, and in no other.
        save_every_s: As for `Job`.

    Raises:
        DataError: The data are missing.
        StorageError: The store cannot be listed.
    """
    source = cell.source(mode)
    store = Store.at(*roots, source, cell.precision).absolute()
    trials = cell.trials(configs)
    missing = missing_trials(trials, store, source, rerun)
    to_train = set(missing)
    outcomes = recorded([trial for trial in trials if trial not in to_train], store, source)
    job = Job(
        cell.name,
        cell.task_name,
        tuple(missing),
        store,
        source,
        rerun="all" if rerun == "all" else "missing",
        asked=tuple(trials),
        run=run,
        save_every_s=save_every_s,
        facts={trial: facts_of(trial, source) for trial in missing},
    )
    return job, outcomes


def check_writable(cell: Cell, store: Store) -> None:
    """Raise StorageError if the curves or the archive of a cell could not be written where they belong."""
    folder = cell.trials()[0].folder(store.curves)
    curve = f"{folder.removeprefix(storage.clean_root(store.curves)).lstrip('/')}/any{SUFFIX}"
    store.check_writable(curve, f"{cell.task_name}/{cell.hparam_set.name}.npz")


def share_out(jobs: Sequence[Job], num_workers: int) -> list[list[Job]]:
    """Give each job whole, or in parts where workers would have none: a small part costs nearly the whole."""
    num_parts = math.ceil(num_workers / len(jobs)) if jobs else 1
    return [split(job, num_parts) for job in jobs]


def split(job: Job, num_parts: int) -> list[Job]:
    """Split a job into at most `num_parts` jobs; trials of a config stay together where they can."""
    by_config: dict[Config, list[Trial]] = {}
    for trial in job.trials:
        by_config.setdefault(trial.config, []).append(trial)
    units = list(by_config.values()) if len(by_config) > 1 else [[trial] for trial in job.trials]
    num_parts = max(1, min(num_parts, len(units)))
    bounds = [len(units) * part // num_parts for part in range(num_parts + 1)]
    return [
        replace(job, trials=tuple(itertools.chain.from_iterable(units[start:stop])), part=part)
        for part, (start, stop) in enumerate(itertools.pairwise(bounds))
    ]
