"""Groups of trials as files of a store, so that all who train there share the work and go on where one died.

The groups of a task lie in `<root>/.optsuite/<task>`. A group is made once, by whoever is the first to need
its trials, and keeps its composition until all of its curves are recorded: curves depend by rounding on what
trained beside them, and a run that goes on must end in the bits of one that was never stopped.

| file | holds |
| --- | --- |
| `<group>.group` | its trials and layout, JSON |
| `<group>.claim.<n>` | who trains it, and how far, JSON; see `storage.claim` |
| `<group>.state.npz` | its checkpoint |
| `<trial>.failure` | why a trial could not be trained, JSON |
| `groups.making` | groups that are being made, JSON: all or none, since others would follow |
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, NamedTuple

import torch

from optsuite import curves, storage, trainer
from optsuite.errors import OptsuiteError, in_words, quoted
from optsuite.hparam_sets import Trial
from optsuite.storage import Holder, Store
from optsuite.sweep._jobs import Job
from optsuite.sweep._recorded import missing_trials
from optsuite.tasks import get_task
from optsuite.trainer import Group, Layout

_GROUP, _STATE, _FAILURE, _MAKING = ".group", ".state.npz", ".failure", "groups.making"
_MOST_BYTES, _MOST_BYTES_OF_FAILURE = 16 * 2**20, 2**16


class GroupFile(NamedTuple):
    """A group as its file tells it."""

    stem: str
    """URL of its files without their endings."""
    cell_name: str
    """Name of the cell for which it was made."""
    trial_ids: tuple[str, ...]
    varying: tuple[str, ...]
    layout: Layout
    device: str
    """Type of the device for which its layout was chosen."""
    rerun: str
    """Word that is the same in all groups of a run that trains everything again; empty in other groups."""

    @property
    def url(self) -> str:
        """URL of the file."""
        return self.stem + _GROUP

    @property
    def state_url(self) -> str:
        """URL of its checkpoint."""
        return self.stem + _STATE

    def holder(self) -> Holder | None:
        """Return who trains it, if that process lives; None if nobody does."""
        holder = storage.holder_of(self.stem)
        return None if holder is None or holder.is_dead else holder

    def of(self, trials: Mapping[str, Trial]) -> Group:
        """Return the group itself.

        Args:
            trials: Trials by id, those of the group among them.
        """
        return Group(tuple(trials[identity] for identity in self.trial_ids), self.varying, self.layout)

    def remove(self) -> None:
        """Delete the group and its checkpoint, which no claim may outlive."""
        storage.remove(self.state_url, missing_ok=True)
        storage.remove(self.url, missing_ok=True)


def groups_dir(store: Store, task_name: str) -> str:
    """Return the folder of the groups of a task."""
    return storage.join_url(storage.shared_dir(store.curves), storage.check_name(task_name))


def read_groups(store: Store, task_name: str) -> list[GroupFile]:
    """Read the groups of a task; a file that cannot be understood is none.

    Raises:
        StorageError: The store cannot be reached.
    """
    return list(_read(storage.list_files(groups_dir(store, task_name), _GROUP)))


class Shares(NamedTuple):
    """Groups that hold the trials of a job."""

    free: list[GroupFile]
    """Groups that nobody trained when they were looked at."""
    taken: dict[str, Holder]
    """Trials that other processes train, by id."""


def gather(job: Job, device: torch.device) -> Shares:
    """Find the groups of a job's trials, and make groups of those that are in none.

    Args:
        job: The job; trials that were recorded since it was made are left out.
        device: Where this process trains.

    Raises:
        StorageError: The store cannot be reached or written to.
    """
    free, taken = list[GroupFile](), dict[str, Holder]()
    with storage.locked(storage.join_url(groups_dir(job.store, job.task_name), "groups")):
        _end_making(groups_dir(job.store, job.task_name))
        missing = missing_trials(job.trials, job.store, job.source, job.rerun)
        ids = {trial.id(job.source): trial for trial in missing}
        unheld = list[GroupFile]()
        for group in read_groups(job.store, job.task_name):
            mine = ids.keys() & group.trial_ids
            if not mine or (job.rerun == "all" and not group.rerun):
                continue
            if (holder := group.holder()) is None:
                unheld.append(group)
            elif job.rerun != "all" or group.rerun == job.run:
                taken |= dict.fromkeys(mine, holder)
        held = {*taken}
        for group in unheld:
            if held.isdisjoint(ids.keys() & group.trial_ids) and _is_for(group, job, device):
                free.append(group)
                held.update(group.trial_ids)
        rest = [trial for identity, trial in ids.items() if identity not in held]
        free += _make(job, rest, device)
    return Shares(free, taken)


def _is_for(group: GroupFile, job: Job, device: torch.device) -> bool:
    """Return whether a job may go on with a group: all of it is asked for, and it suits the device.

    What is trained again is asked for by one part of a job alone: the store does not tell when it ended.
    """
    is_again = job.rerun == "all"
    asked = _by_id(job.trials, job) if is_again else trials_by_id(job)
    if group.device != device.type or is_again != bool(group.rerun) or not asked.keys() >= {*group.trial_ids}:
        return False
    try:
        _ = group.of(asked).grid, group.of(asked).spec
    except OptsuiteError:  # somebody else's file: no such group is made
        return False
    return True


def _make(job: Job, trials: Sequence[Trial], device: torch.device) -> list[GroupFile]:
    if not trials:
        return []
    folder, rerun = groups_dir(job.store, job.task_name), job.run if job.rerun == "all" else ""
    task, made, all_told = get_task(job.task_name), list[GroupFile](), list[dict[str, Any]]()
    for group in trainer.make_groups(task, trials, mode=job.source, device=device):
        trial_ids = tuple(trial.id(job.source) for trial in group.trials)
        told = {
            "cell": job.name,
            "trials": trial_ids,
            "varying": group.varying,
            "layout": group.layout._asdict(),
            "device": device.type,
            "rerun": rerun,
        }
        all_told.append(told)
        made.append(
            GroupFile(
                storage.join_url(folder, _name(told)),
                job.name,
                trial_ids,
                group.varying,
                group.layout,
                device.type,
                rerun,
            )
        )
    if len(made) > 1:
        storage.write_json(storage.join_url(folder, _MAKING), all_told)
    _create(folder, all_told)
    storage.remove(storage.join_url(folder, _MAKING), missing_ok=True)
    return made


def _name(told: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


def _create(folder: str, all_told: Iterable[Mapping[str, Any]]) -> None:
    for told in all_told:
        storage.create(storage.join_url(folder, _name(told) + _GROUP), json.dumps(told).encode())


def _end_making(folder: str) -> None:
    """Make what a process that died has left to be made."""
    url = storage.join_url(folder, _MAKING)
    try:
        all_told = storage.read_json(url, most=_MOST_BYTES)
    except storage.MissingFileError:
        return
    except storage.CorruptFileError:
        all_told = []
    if isinstance(all_told, list):
        _create(folder, all_told)
    storage.remove(url, missing_ok=True)


def _read(urls: Iterable[str]) -> Iterator[GroupFile]:
    for url in urls:
        try:
            told: Any = storage.read_json(url, most=_MOST_BYTES)
            width, is_compiled = told["layout"]["width"], told["layout"]["is_compiled"]
            texts = [told["cell"], told["device"], told["rerun"], *told["trials"], *told["varying"]]
            are_fine = all(isinstance(text, str) and text.isprintable() for text in texts)
            if not (are_fine and type(width) is int and width > 0):
                continue
            yield GroupFile(
                url.removesuffix(_GROUP),
                told["cell"],
                tuple(told["trials"]),
                tuple(told["varying"]),
                Layout(width, bool(is_compiled)),
                told["device"],
                told["rerun"],
            )
        except (storage.CorruptFileError, storage.MissingFileError, LookupError, TypeError):
            continue


def tidy(job: Job) -> None:
    """Delete what processes that died have left in the folders of a job.

    That is temporary files, curves that were being replaced, groups of which every curve is recorded, and
    what belongs to no group.

    Args:
        job: The job; trials that were asked for with its own, and are not among these, are recorded.

    Raises:
        StorageError: The store cannot be reached.
    """
    curve_folders = {trial.folder(job.store.curves) for trial in job.asked}
    storage.thread_map(curves.remove_twins, curve_folders)
    if storage.is_local(job.store.curves):  # elsewhere a put leaves nothing unfinished
        for curve_folder in curve_folders:
            storage.sweep_temporaries(curve_folder)
    storage.sweep_temporaries(
        storage.archive_path(job.task_name, "any", job.store.archives).rpartition("/")[0]
    )
    recorded = end_recorded(job)
    folder = groups_dir(job.store, job.task_name)
    storage.sweep_temporaries(folder)
    there = storage.list_files(folder, "")
    stems = {url.removesuffix(_GROUP) for url in there if url.endswith(_GROUP)}
    for url in there:
        stem, is_claim, _ = url.rpartition(".claim.")
        if is_claim and stem not in stems:
            storage.end_dead(stem)
        elif _is_spent(url, recorded):
            storage.remove(url, missing_ok=True)


def end_recorded(job: Job) -> set[str]:
    """Delete groups of which every curve is recorded and that nobody trains; groups may overlap.

    Args:
        job: As for `tidy`.

    Returns:
        Ids of the trials that are recorded.

    Raises:
        StorageError: The store cannot be reached.
    """
    recorded = {trial.id(job.source) for trial in set(job.asked).difference(job.trials)}
    for group in read_groups(job.store, job.task_name):
        if not group.rerun and recorded.issuperset(group.trial_ids) and not group.holder():
            group.remove()
            storage.end_dead(group.stem)
    return recorded


def _is_spent(url: str, recorded: Set[str]) -> bool:
    """Return whether a file is a checkpoint without its group, or the failure of a trial that is recorded."""
    stem, is_state, aside = url.rpartition(_STATE)
    if is_state and aside in ("", ".bad"):
        return not storage.exists(stem + _GROUP)
    return url.endswith(_FAILURE) and url.rpartition("/")[2].removesuffix(_FAILURE) in recorded


def note_failure(job: Job, trial: Trial, error: Exception) -> None:
    """Keep the reason why a trial could not be trained, for `read_failures`.

    Raises:
        StorageError: The store cannot be written to.
    """
    url = storage.join_url(groups_dir(job.store, job.task_name), trial.id(job.source) + _FAILURE)
    cause = quoted(error) if isinstance(error, OptsuiteError) else in_words(error)
    told = {"cell": job.name, "cause": cause, "time": time.time(), "owner": storage.Owner.here().to_json()}
    storage.write_json(url, told)


class Failure(NamedTuple):
    """The failure of a trial as its file tells it."""

    cell_name: str
    """Name of the cell with which it was trained."""
    cause: str


def read_failures(store: Store, task_name: str) -> dict[str, Failure]:
    """Read why trials of a task could not be trained the last time, by id; since then they may have been.

    Raises:
        StorageError: The store cannot be reached.
    """
    failures = {}
    for url in storage.list_files(groups_dir(store, task_name), _FAILURE):
        with contextlib.suppress(storage.CorruptFileError, storage.MissingFileError, LookupError, TypeError):
            told = storage.read_json(url, most=_MOST_BYTES_OF_FAILURE)
            identity = url.rpartition("/")[2].removesuffix(_FAILURE)
            failures[identity] = Failure(str(told["cell"]), str(told["cause"]))
    return failures


def trials_by_id(job: Job) -> dict[str, Trial]:
    """Return all trials that were asked for with a job's, by id."""
    return _by_id((*job.asked, *job.trials), job)


def _by_id(trials: Iterable[Trial], job: Job) -> dict[str, Trial]:
    return {trial.id(job.source): trial for trial in trials}
