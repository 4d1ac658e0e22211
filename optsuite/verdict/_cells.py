"""Cells of a verdict: which there are, and their evaluations, a user's own before packaged ones."""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from optsuite import archives, baselines, statistics, storage
from optsuite._types import Array
from optsuite.archives import Absent
from optsuite.errors import StorageError
from optsuite.statistics import Evaluations, Rule
from optsuite.storage import MissingFileError
from optsuite.verdict._names import Contender, matching
from optsuite.words import counted


@final
@dataclass(frozen=True, kw_only=True)
class Listing:
    """Sets that there are of some tasks, by task: a user's own, and packaged ones."""

    root: str
    own: Mapping[str, Sequence[str]]
    packaged: Mapping[str, Sequence[str]]

    @property
    def sets(self) -> set[str]:
        """Names of all sets."""
        return self.own_sets | {name for names in self.packaged.values() for name in names}

    @property
    def own_sets(self) -> set[str]:
        """Names of the sets that are a user's own."""
        return {name for names in self.own.values() for name in names}

    def tasks_of(self, contender: Contender) -> list[str]:
        """Return the tasks on which a contender was trained."""
        return [
            task for task in self.own if contender.choose([*self.own[task], *self.packaged.get(task, ())])
        ]

    def read(self, task: str, contenders: Sequence[Contender]) -> dict[Contender, Evaluations | str]:
        """Return evaluations on a task by contender, or the reason in words why there are none.

        Packaged ones are read for those without an archive, unless the first contender's are on stand-ins.

        Raises:
            UnreachableError: The storage cannot be reached.
        """
        names = {one: name for one in contenders if (name := one.choose(self.own.get(task, ())))}
        cells = [(task, name) for name in names.values()]
        read = archives.read_each(cells, statistics.evaluations, self.root)
        found = dict(zip(names, read, strict=True))
        first = found.get(contenders[0])
        is_real = not isinstance(first, Evaluations) or first.data_source == "real"
        return {
            one: _told(found[one]) if one in found else self._packaged(task, one, is_real)
            for one in contenders
        }

    def _packaged(self, task: str, contender: Contender, is_real: bool) -> Evaluations | str:
        name = contender.choose(self.packaged.get(task, ()))
        if name is None:
            return "there is no archive and no packaged baseline"
        if not is_real:
            return "there is no archive, and packaged baselines are of real data"
        try:
            return baselines.load(task, name) or f"there is no packaged {name}"
        except StorageError as error:
            return str(error)


def _told(read: Evaluations | Absent) -> Evaluations | str:
    return str(read.error) if isinstance(read, Absent) else read


def list_cells(tasks: Sequence[str], root: str | None, among: Sequence[str] | None = None) -> Listing:
    """List the sets that there are.

    Args:
        tasks: Names or globs of tasks; globs are over those that have archives, own or packaged ones.
        root: Root of the archives; `storage.archives_dir()` if `None`.
        among: Names of the tasks that globs are over; those that have archives if `None`.

    Raises:
        MissingFileError: A glob matches no task, so that there is nothing to compare.
        StorageError: The storage cannot be reached.
    """
    root = storage.archives_dir() if root is None else storage.clean_root(root)
    packaged = _packaged()
    known = sorted({*storage.list_tasks(root), *packaged}) if among is None else list(among)
    names = storage.expand_globs(tasks, lambda: known)
    if among is not None:
        names = [task for task in among if any(fnmatch.fnmatchcase(task, one) for one in tasks)]
    lost = [name for name in names if storage.is_glob(name) and name not in known]
    if among is not None and not names:
        asked = ", ".join(f"`{name}`" for name in tasks)
        raise MissingFileError(f"the suite has no task {asked}; its tasks are {', '.join(among)}")
    if lost:
        stand_ins = root_of_stand_ins(root)
        hint = f"; there are archives of results on stand-in data in `{stand_ins}`" if stand_ins else ""
        raise MissingFileError(f"no archives of {', '.join(lost)} in `{root}`: train some first{hint}")
    own = storage.thread_map(lambda task: archives.list_hparam_sets_for_task(task, root), names)
    there = {task: packaged[task] for task in names if task in packaged}
    return Listing(root=root, own=dict(zip(names, own, strict=True)), packaged=there)


def _packaged() -> dict[str, list[str]]:
    """Return the packaged sets by task."""
    found: dict[str, list[str]] = {}
    for task, name in baselines.available():
        found.setdefault(task, []).append(name)
    return found


def root_of_stand_ins(root: str, name: str = "*") -> str:
    """Return the root of the archives on stand-in data if a name stands for some, else nothing."""
    stand_ins = storage.beside(root, "synthetic")
    tasks = storage.list_tasks(stand_ins)
    sets = {one for task in tasks for one in archives.list_hparam_sets_for_task(task, stand_ins)}
    return stand_ins if matching(name, sets) else ""


def why_not_judged(one: Evaluations, rule: Rule) -> str:
    """Say in words why a rule cannot judge a cell; empty if it can."""
    lacking = [split for split in dict.fromkeys((rule.chooses_on, rule.judges_on)) if split not in one.losses]
    if lacking:
        return f"not evaluated on {' and '.join(lacking)}, as the rule `{rule.name}` needs"
    return "" if one.xs[-1] > 0 else "not evaluated after training"


def why_not_beside(one: Evaluations, cells: Mapping[str, Evaluations], first: tuple[str, str]) -> str:
    """Say in words why a cell does not compare with the others of its task; empty if it does.

    Args:
        one: The cell.
        cells: The others by label.
        first: Labels of the two whose shared seeds all others need.
    """
    for other in cells.values():
        if one.data_source != other.data_source:
            return f"trained on {_data(one)}, and {other.hparam_set} on {_data(other)}"
        if one.num_steps != other.num_steps:
            return f"trained for {one.num_steps:,} steps, and {other.hparam_set} for {other.num_steps:,}"
        if not np.intersect1d(one.seeds, other.seeds).size:
            return f"its seeds {_seeds(one)} are not those of {other.hparam_set} ({_seeds(other)})"
    together = functools.reduce(np.intersect1d, [one.seeds, *(other.seeds for other in cells.values())])
    if not together.size:
        return f"shares no seed with all of {', '.join(cells)}"
    if not all(label in cells for label in first):
        return ""
    shared = np.intersect1d(cells[first[0]].seeds, cells[first[1]].seeds)
    lacking = len(np.setdiff1d(shared, one.seeds))
    words = f"lacks {lacking} of the {counted(len(shared), 'seed')} that {' and '.join(first)} share"
    return words if lacking else ""


def on_seeds(one: Evaluations, seeds: Array) -> Evaluations:
    """Return evaluations of some of their seeds."""
    kept = np.isin(one.seeds, seeds)
    if kept.all():
        return one
    losses, accuracies = (
        {split: values[:, kept] for split, values in curves.items()}
        for curves in (one.losses, one.accuracies)
    )
    seconds = None if one.seconds_per_step is None else one.seconds_per_step[:, kept]
    return replace(
        one,
        seeds=one.seeds[kept],
        losses=losses,
        accuracies=accuracies,
        diverged=one.diverged[:, kept],
        seconds_per_step=seconds,
    )


def _data(one: Evaluations) -> str:
    return "real data" if one.data_source == "real" else f"stand-in data ({one.data_source})"


def _seeds(one: Evaluations) -> str:
    seeds = sorted(one.seeds.tolist())
    is_row = len(seeds) > 1 and seeds == list(range(seeds[0], seeds[0] + len(seeds)))
    return f"{seeds[0]} to {seeds[-1]}" if is_row else ", ".join(map(str, seeds))
