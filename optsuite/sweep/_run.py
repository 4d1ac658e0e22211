"""Training what a cell lacks, and recording it."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from optsuite import archives, curves, data, storage, trainer
from optsuite.curves import Curve
from optsuite.errors import StorageError, parameter
from optsuite.hparam_sets import Config, Trial
from optsuite.storage import Store
from optsuite.sweep._cells import Cell
from optsuite.tasks import get_task
from optsuite.trainer import Outcome

__all__ = [
    "Job",
    "archive_cell",
    "missing_trials",
    "prepare",
    "recorded",
    "run_job",
    "share_out",
    "split",
]


def missing_trials(
    trials: Sequence[Trial],
    store: Store,
    source: data.Source,
    rerun: str = "missing",
    *,
    set_aside: bool = True,
) -> list[Trial]:
    """The trials that are to be trained.

    Args:
        trials: Of one cell.
        store: Where to look.
        source: Kind of data.
        rerun: `missing`: those without a file; `failed`: also those whose file cannot be read; `all`: all.
        set_aside: Rename the files that `failed` finds.
    """
    if rerun == "all":
        return list(trials)
    folders = list(dict.fromkeys(trial.folder(store.curves) for trial in trials))
    if rerun == "failed" and not set_aside:
        readable = _read_all(folders)
        return [trial for trial in trials if trial.id(source) not in readable]
    if rerun == "failed":
        curves.read_folders(folders, threads=storage.THREADS, clear_bad_files=True)
    recorded = set().union(*storage.thread_map(curves.recorded_trial_ids, folders))
    return [trial for trial in trials if trial.id(source) not in recorded]


def share_out(jobs: Sequence[Job], num_workers: int) -> list[list[Job]]:
    """Each job whole, or in parts where workers would have none: a small part costs nearly the whole."""
    num_parts = math.ceil(num_workers / len(jobs)) if jobs else 1
    return [split(job, num_parts) for job in jobs]


@dataclass(frozen=True)
class Job:
    """Trials of one task that are to be trained and recorded; holds all that another process must know."""

    name: str
    task_name: str
    trials: tuple[Trial, ...]
    store: Store
    source: data.Source
    rerun: str = "missing"
    """`missing` leaves out what was recorded since, so that the same job may run twice; `all` does not."""
    part: int = 0
    """Its number, where several do the work of one."""

    @property
    def num_steps(self) -> int:
        """Trial-steps to do."""
        return sum(trial.schedule.num_steps + 1 for trial in self.trials)


def split(job: Job, num_parts: int) -> list[Job]:
    """Share a job's trials out to so many jobs, or fewer; trials of a config stay together where they can."""
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


def prepare(
    cell: Cell,
    configs: Sequence[Config],
    *,
    roots: tuple[str | None, str | None],
    mode: str | None = None,
    rerun: str = "missing",
) -> tuple[Job, list[Outcome]]:
    """What is left to train of a cell, and the outcomes of the other trials.

    Args:
        cell: The cell.
        configs: Those of its configs to run.
        roots: Of curves and archives, as for `Store.at`.
        mode: Data: auto, real or synthetic; None reads `OPTSUITE_DATA`.
        rerun: One of `choices.RERUNS`.

    Raises:
        DataError: The data are missing.
        StorageError: The store cannot be listed.
    """
    source = cell.source(mode)
    store = Store.at(*roots, source)
    trials = cell.trials(configs)
    missing = missing_trials(trials, store, source, rerun)
    to_train = set(missing)
    outcomes = recorded([trial for trial in trials if trial not in to_train], store, source)
    again = "all" if rerun == "all" else "missing"
    return Job(cell.name, cell.task_name, tuple(missing), store.absolute(), source, again), outcomes


def run_job(
    job: Job,
    *,
    device: torch.device | str | None = None,
    tell: Callable[[int, int], None] = lambda _done, _total: None,
) -> Iterator[Outcome]:
    """Train a job's trials, write each curve when it ends, and give every outcome.

    Args:
        job: The job.
        device: Where to train; None takes CUDA if there is one.
        tell: Called now and then with the trial-steps done and those to do in all.

    Raises:
        DataError: The data are missing or damaged.
        StorageError: The store cannot be listed.
    """
    done, total = 0, job.num_steps

    def count(steps: int) -> None:
        nonlocal done
        done += steps
        tell(done, total)

    for outcome in trainer.run(
        get_task(job.task_name), job.trials, mode=job.source, device=device, tell=count
    ):
        yield _written(outcome, job.store)


def _written(outcome: Outcome, store: Store) -> Outcome:
    if isinstance(outcome.result, Curve):
        try:
            curves.write_curve(outcome.result, store.curves)
        except StorageError as error:  # the next curve may still find its way
            return Outcome(outcome.trial, error)
    return outcome


def recorded(trials: Sequence[Trial], store: Store, source: data.Source) -> list[Outcome]:
    """Trials that were trained before, with their curves or with what is wrong about those."""
    folders = list(dict.fromkeys(trial.folder(store.curves) for trial in trials))
    by_id = _read_all(folders)
    return [
        Outcome(
            trial,
            by_id[identity]
            if (identity := trial.id(source)) in by_id
            else _unreadable(trial, identity, store),
            is_new=False,
        )
        for trial in trials
    ]


def _unreadable(trial: Trial, identity: str, store: Store) -> StorageError:
    folder = trial.folder(store.curves)
    files = curves.files_of_trial(folder, identity)
    advice = f"to train it again, run once more with {parameter('rerun', 'failed')}"
    try:
        storage.read_npz(files[-1])
    except IndexError:
        return StorageError(f"the curve in {folder} is gone: run again to train it")
    except StorageError as error:
        return storage.CorruptFileError(f"{error}; {advice}")
    return storage.CorruptFileError(f"`{files[-1]}` is not the curve of its trial; {advice}")


def _read_all(folders: Sequence[str]) -> dict[str, Curve]:
    """Every readable curve, by trial id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", curves.CorruptFileWarning)  # it is the outcome of its trial
        read = curves.read_folders(folders, threads=storage.THREADS)
    return {str(arrays.get("trial_id", "")): Curve(arrays) for files in read for arrays in files.values()}


def archive_cell(cell: Cell, source: str, roots: tuple[str | None, str | None]) -> str | None:
    """Archive a cell if all of it is recorded on that kind of data; its URL, or None."""
    store = Store.at(*roots, source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", curves.CorruptFileWarning)  # it is the outcome of its trial
        return archives.build_archive(
            cell.task_name,
            cell.hparam_set,
            root=store.curves,
            archives_root=store.archives,
            trial_ids={trial.id(source) for trial in cell.trials()},
        )
