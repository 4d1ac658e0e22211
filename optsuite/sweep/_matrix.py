"""Cells, and the matrix: every cell that there is to choose from."""

import fnmatch
import itertools
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from optsuite import data
from optsuite.errors import UnknownNameError, UnsupportedError
from optsuite.hparam_sets import (
    Config,
    HParamSet,
    Trial,
    get_family,
    get_hparam_set,
    list_families,
    list_hparam_sets,
    needs_checkpoint,
)
from optsuite.sweep._cost import estimated_cost, least_seconds, nominal_speed
from optsuite.tasks import Task, get_task, list_tasks

_QUICK_STEPS, _QUICK_REPETITIONS = 200, 2
_QUICK_SECONDS = 20.0
_FULL_LENGTH = 10_000, 5  # of a set that nobody has published

# Sets of more configs do not join a matrix beside smaller ones.
_MOST_CONFIGS = 15


@dataclass(frozen=True)
class Cell:
    """One task and one hparam set."""

    task_name: str
    hparam_set: HParamSet
    precision: str = "float32"
    """Precision, as for `Trial`."""

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


@dataclass(frozen=True)
class Matrix:
    """The cells to choose from."""

    preset: str
    cells: list[Cell]
    device: torch.device
    cell_seconds: float
    """Longest estimated training time of a cell; cells that take longer are left out."""
    named: frozenset[str] = frozenset()
    """Names of the tasks whose cells are not left out, whatever they cost."""

    def leaves_out(self, cell: Cell) -> bool:
        """Return whether a cell takes too long for the preset."""
        if math.isinf(self.cell_seconds) or cell.task_name in self.named:
            return False
        # The measured speed would let the choice differ between processes.
        trials, speed = cell.trials(), nominal_speed(self.device)
        # Counting operations takes long for just those tasks that are too large anyway.
        if least_seconds(cell.task, trials, speed) > self.cell_seconds:
            return True
        return estimated_cost(cell.task, trials, self.device, speed).seconds > self.cell_seconds


def make_matrix(
    *,
    preset: str = "auto",
    tasks: str | Sequence[str] = (),
    sets: str | Sequence[str] = (),
    num_steps: int | None = None,
    repetitions: int | None = None,
    precision: str = "float32",
    device: torch.device,
) -> Matrix:
    """Cross tasks with sets.

    Args:
        preset: One of `choices.PRESETS`. `full`: the published sets; `quick`: one short set a family, on the
            tasks that fit a time budget; `auto`: full on CUDA, quick elsewhere.
        tasks: Globs and names; none for all. A task given by name joins whatever it costs.
        sets: Globs over the preset's sets, and names of any sets; none for all. Sets of more than 15 configs,
            and variants of learned optimizers, join only if no other one matches the same glob. A family of
            the grammar of wrappers is named in full, and its length may be a glob: `AdamWLR_cosine_*`. Any
            other glob that matches none of the preset's is one over the families without published sets, at
            10,000 steps and 5 repetitions.
        num_steps: Replaces the steps of every set.
        repetitions: Replaces the repetitions of every set.
        precision: As for `Trial`.
        device: Where cells would train; decides `auto` and the time budget.

    Raises:
        UnknownNameError: A name that does not exist, or a glob that matches nothing.
        UnsupportedError: Sets of learned optimizers alone, of which no checkpoint is registered.
    """
    if preset == "auto":
        preset = "full" if device.type == "cuda" else "quick"
    tasks, sets = ([given] if isinstance(given, str) else given for given in (tasks, sets))
    known_tasks = list_tasks()
    matched = [_matching(task, known_tasks, lambda name: get_task(name).name) for task in tasks or ["*"]]
    task_names = dict.fromkeys(itertools.chain(*matched))
    hparam_sets = _resized(
        itertools.chain(*(_sets_matching(pattern, preset) for pattern in sets or ["*"])),
        num_steps,
        repetitions,
    )
    cells = [Cell(task, hparam_set, precision) for task in task_names for hparam_set in hparam_sets]
    cell_seconds = _QUICK_SECONDS if preset == "quick" else math.inf
    return Matrix(preset, cells, device, cell_seconds, frozenset(tasks) & task_names.keys())


def _sets_matching(pattern: str, preset: str) -> list[HParamSet]:
    """Return the sets that one glob, or one name, stands for."""
    known = [*_preset_sets(preset), *_grammar_sets(pattern, preset)]
    if not fnmatch.filter(known, pattern):
        known = _unpublished_sets()
    hparam_sets = [get_hparam_set(name) for name in _matching(pattern, known, _named_set)]
    return list(filter(_joins, hparam_sets)) or hparam_sets


def _matching(pattern: str, names: Sequence[str], look_up: Callable[[str], str]) -> list[str]:
    """Return the names that a glob matches; look up what matches nothing."""
    if matched := fnmatch.filter(names, pattern):
        return matched
    return [look_up(pattern)]  # raises with the nearest names if there is no such thing


def _named_set(name: str) -> str:
    """Return the name of a set; of one that a glob matches for want of a checkpoint, so that it is told."""
    published = list_hparam_sets(name)
    is_missing = published and all(map(needs_checkpoint, published))
    return get_hparam_set(published[0] if is_missing else name).name


def _joins(hparam_set: HParamSet) -> bool:
    """Whether a set joins a matrix beside others."""
    return get_family(hparam_set.family).joins and len(hparam_set.labels) <= _MOST_CONFIGS


def _preset_sets(preset: str) -> list[str]:
    """Return the names of the sets that a preset holds."""
    if preset == "full":
        return [name for name in list_hparam_sets() if not needs_checkpoint(name)]
    families = map(get_family, list_families())
    return [family.set_name(_QUICK_STEPS, _QUICK_REPETITIONS) for family in families]


def _grammar_sets(pattern: str, preset: str) -> list[str]:
    """Return the set of the preset's length of a family that is not listed, but named before a wildcard."""
    family = re.match(r"(\w+)_\w*[*?\[]", pattern)
    if family is None or family[1] in list_families():
        return []
    try:
        length = (_QUICK_STEPS, _QUICK_REPETITIONS) if preset == "quick" else _FULL_LENGTH
        return [get_family(family[1]).set_name(*length)]
    except (UnknownNameError, UnsupportedError):  # a glob over listed names
        return []


def _unpublished_sets() -> list[str]:
    """Return the names of sets of the families that have no published ones, as long as most of those are."""
    families = (family for family in map(get_family, list_families()) if not family.published)
    return [family.set_name(*_FULL_LENGTH) for family in families]


def _resized(
    hparam_sets: Iterable[HParamSet], num_steps: int | None, repetitions: int | None
) -> list[HParamSet]:
    """Give sets other lengths, and drop those that become equal to one before them."""
    names = {
        get_family(s.family).set_name(num_steps or s.schedule.num_steps, repetitions or s.repetitions): None
        for s in hparam_sets
    }
    return [get_hparam_set(name) for name in names]
