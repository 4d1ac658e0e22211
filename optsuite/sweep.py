"""What to run: cells, what of them is recorded already, what the rest will cost, and running it.

The store is the truth about what is done: a trial counts as recorded if its folder holds a file of its id.
"""

from __future__ import annotations

import fnmatch
import math
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from optsuite import archives, curves, data, storage, trainer
from optsuite.curves import Curve
from optsuite.errors import StorageError
from optsuite.hparam_sets import (
    Config,
    HParamSet,
    Trial,
    get_family,
    get_hparam_set,
    list_families,
    list_hparam_sets,
)
from optsuite.optimizers import OPTIMIZERS
from optsuite.tasks import Task, get_task, list_tasks
from optsuite.trainer import Outcome

__all__ = [
    "PRESETS",
    "RERUNS",
    "Cell",
    "Matrix",
    "Plan",
    "Store",
    "Summary",
    "archive_cell",
    "make_matrix",
    "plan",
    "run_cell",
    "summarize",
]

PRESETS = ("auto", "quick", "full")
RERUNS = ("missing", "failed", "all")

_QUICK_STEPS, _QUICK_REPETITIONS = 200, 2
_QUICK_SECONDS = 12.0

# Sets of more settings do not join a matrix beside smaller ones.
_MOST_CONFIGS = 15


@dataclass(frozen=True)
class Cell:
    """One task and one hparam set."""

    task_name: str
    hparam_set: HParamSet

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
        every = self.hparam_set.trials(self.task_name)
        return [trial for trial in every if kept is None or trial.config.label in kept]


class Store(NamedTuple):
    """Where curves and archives lie."""

    curves: str
    archives: str

    @classmethod
    def at(cls, curves_root: str | None, archives_root: str | None, source: str) -> Store:
        """The store of results on that kind of data.

        Args:
            curves_root: None reads `LOPT_BASELINE_DIR`.
            archives_root: None reads `LOPT_BASELINE_ARCHIVES_DIR`; but beside `curves_root` if that is given.
            source: Results on stand-ins lie under `<root>_synthetic`, so that they never mix with real ones.
        """
        if archives_root is None and curves_root is not None:
            archives_root = _beside(curves_root, "archives")
        roots = (curves_root or storage.baseline_dir(), archives_root or storage.archives_dir())
        return cls(
            *(storage.clean_root(root if source == "real" else _beside(root, source)) for root in roots)
        )

    @classmethod
    def reports(cls, curves_root: str | None) -> str:
        """Where reports and their figures lie, of results on any kind of data: `<curves root>_reports`."""
        return storage.clean_root(_beside(curves_root or storage.baseline_dir(), "reports"))

    def check_writable(self) -> None:
        """Raise StorageError if either root cannot be written to."""
        for root in self:
            storage.check_writable(root)

    def folder(self, trial: Trial) -> str:
        """Where a trial's curve lies."""
        return storage.curve_dir(
            trial.task_name, trial.config.label, **vars(trial.schedule), root=self.curves
        )


def _beside(root: str, word: str) -> str:
    """`<root>_<word>`; inside the root where that is all of a URL, such as a bucket."""
    if match := re.fullmatch(r"([\w.+-]+://[^/]*)/*", root):
        return f"{match[1]}/{word}"
    return f"{root.rstrip('/')}_{word}"


@dataclass(frozen=True)
class Matrix:
    """The cells to choose from."""

    preset: str
    cells: list[Cell]
    device: torch.device
    cell_seconds: float
    """Cells that are estimated to train longer are left out."""

    def leaves_out(self, cell: Cell) -> bool:
        """Whether a cell takes too long for the preset."""
        if math.isinf(self.cell_seconds):
            return False
        trials = cell.trials()
        # Counting operations takes long for just those tasks that are too large anyway.
        if _least_seconds(cell.task, trials, self.device) > self.cell_seconds:
            return True
        return estimated_seconds(cell.task, trials, self.device) > self.cell_seconds


def make_matrix(
    *,
    preset: str = "auto",
    tasks: str | None = None,
    sets: str | None = None,
    num_steps: int | None = None,
    repetitions: int | None = None,
    device: torch.device,
) -> Matrix:
    """Cross tasks with sets.

    Args:
        preset: `full`: the published sets; `quick`: one short set a family, on the tasks that fit a time
            budget; `auto`: full on CUDA, quick elsewhere.
        tasks: Glob or name; None for all. A task given by name joins whatever it costs.
        sets: Glob over the preset's sets, or the name of any set; None for all. Sets of more than 15 settings
            join only if no smaller one matches.
        num_steps: Replaces the steps of every set.
        repetitions: Replaces the repetitions of every set.
        device: Decides `auto` and the budget.

    Raises:
        UnknownNameError: A name, or a glob that matches nothing.
    """
    if preset == "auto":
        preset = "full" if device.type == "cuda" else "quick"
    task_names = _matching(tasks, list_tasks(), lambda name: get_task(name).name)
    set_names = _matching(sets, _preset_sets(preset), lambda name: get_hparam_set(name).name)
    hparam_sets = _resized(map(get_hparam_set, set_names), num_steps, repetitions)
    hparam_sets = [s for s in hparam_sets if len(s.labels) <= _MOST_CONFIGS] or hparam_sets
    cells = [Cell(task, hparam_set) for task in task_names for hparam_set in hparam_sets]
    is_limited = preset == "quick" and tasks not in task_names
    return Matrix(preset, cells, device, _QUICK_SECONDS if is_limited else math.inf)


def _matching(pattern: str | None, names: Sequence[str], look_up: Callable[[str], str]) -> list[str]:
    if pattern is None:
        return list(names)
    if matched := fnmatch.filter(names, pattern):
        return matched
    return [look_up(pattern)]  # raises with the nearest names if there is no such thing


def _preset_sets(preset: str) -> list[str]:
    if preset == "full":
        return list_hparam_sets()
    families = map(get_family, list_families())
    return [family.set_name(_QUICK_STEPS, _QUICK_REPETITIONS) for family in families]


def _resized(
    hparam_sets: Iterable[HParamSet], num_steps: int | None, repetitions: int | None
) -> list[HParamSet]:
    names = {
        get_family(s.family).set_name(num_steps or s.schedule.num_steps, repetitions or s.repetitions): None
        for s in hparam_sets
    }
    return [get_hparam_set(name) for name in names]


# Sustained float32 operations a second: of one CPU core, and of a GPU at the sizes of these tasks.
_CPU_FLOPS, _CUDA_FLOPS = 40e9, 10e12
# What a call of an uncompiled program costs besides its arithmetic, in seconds.
_CALL_SECONDS, _SINGLE_CALL_SECONDS = 2.5e-3, 0.5e-3


def _flops_a_second(device: torch.device) -> float:
    return _CUDA_FLOPS if device.type == "cuda" else _CPU_FLOPS * torch.get_num_threads()


def _least_seconds(task: Task, trials: Sequence[Trial], device: torch.device) -> float:
    """What `estimated_seconds` is at least, without counting operations."""
    try:
        flops = task.min_flops_per_step
    except Exception:  # noqa: BLE001 - a task of the user's may raise anything
        return 0.0
    num_steps = sum(trial.schedule.num_steps + 1 for trial in trials)
    return num_steps * flops / _flops_a_second(device)


def estimated_seconds(task: Task, trials: Sequence[Trial], device: torch.device) -> float:
    """Rough wall-clock time to train trials of one task, evaluations included; no measurement is made.

    0 for a task that cannot be costed because it is broken: it is to fail in its own items.
    """
    rate = _flops_a_second(device)
    try:
        width, flops, shapes = trainer.width_limit(task, device), task.flops_per_step, task.param_shapes
    except Exception:  # noqa: BLE001 - a task of the user's may raise anything
        return 0.0
    seconds = 0.0
    for rule, members in trainer.group_by_rule(trials):
        count, schedule = len(members), rule.schedule
        # A forward pass is a third of a step; three splits are evaluated.
        evals_per_step = 3 * schedule.eval_batches / schedule.eval_every
        passes = (schedule.num_steps + 1) * (1 + evals_per_step / 3)
        call = _SINGLE_CALL_SECONDS if width == 1 else _CALL_SECONDS
        seconds += passes * (count * flops / rate + math.ceil(count / width) * call)
        if rule.optimizer in OPTIMIZERS:  # no class by its import path
            update_flops = OPTIMIZERS[rule.optimizer].flops(shapes, **rule.shared)
            seconds += (schedule.num_steps + 1) * count * update_flops / rate
    return seconds


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
    folders = list(dict.fromkeys(map(store.folder, trials)))
    if rerun == "failed" and not set_aside:
        readable = _read_all(folders)
        return [trial for trial in trials if trial.id(source) not in readable]
    if rerun == "failed":
        curves.read_folders(folders, threads=storage.THREADS, clear_bad_files=True)
    recorded = set().union(*storage.thread_map(curves.recorded_trial_ids, folders))
    return [trial for trial in trials if trial.id(source) not in recorded]


def run_cell(
    cell: Cell,
    configs: Sequence[Config],
    *,
    roots: tuple[str | None, str | None],
    mode: str | None = None,
    rerun: str = "missing",
    device: torch.device | str | None = None,
    tell: Callable[[int, int], None] = lambda _done, _total: None,
) -> Iterator[Outcome]:
    """Train what is missing of a cell, write each curve when it ends, and give every trial's outcome.

    Args:
        cell: The cell.
        configs: Those of its configs to run.
        roots: Of curves and archives, as for `Store.at`.
        mode: Data: auto, real or synthetic; None reads `OPTSUITE_DATA`.
        rerun: One of `RERUNS`.
        device: Where to train; None takes CUDA if there is one.
        tell: Called now and then with the trial-steps done and those to do in all.

    Raises:
        DataError: The data are missing or damaged.
        StorageError: The store cannot be listed or written.
    """
    source = cell.source(mode)
    store = Store.at(*roots, source)
    trials = cell.trials(configs)
    missing = missing_trials(trials, store, source, rerun)
    total = sum(trial.schedule.num_steps + 1 for trial in missing)
    done = 0

    def count(steps: int) -> None:
        nonlocal done
        done += steps
        tell(done, total)

    to_train = set(missing)
    yield from _recorded([trial for trial in trials if trial not in to_train], store, source)
    for outcome in trainer.run(cell.task, missing, mode=source, device=device, tell=count):
        yield _written(outcome, store)


def _written(outcome: Outcome, store: Store) -> Outcome:
    if isinstance(outcome.result, Curve):
        try:
            curves.write_curve(outcome.result, store.curves)
        except StorageError as error:  # the next curve may still find its way
            return Outcome(outcome.trial, error)
    return outcome


def _recorded(trials: Sequence[Trial], store: Store, source: data.Source) -> Iterator[Outcome]:
    folders = list(dict.fromkeys(map(store.folder, trials)))
    by_id = _read_all(folders)
    for trial in trials:
        identity = trial.id(source)
        found = by_id[identity] if identity in by_id else _unreadable(trial, identity, store)
        yield Outcome(trial, found, is_new=False)


def _unreadable(trial: Trial, identity: str, store: Store) -> StorageError:
    files = storage.list_files(store.folder(trial), f"_{identity}.curves")
    advice = "pass --opt-rerun failed to set it aside and train it again"
    try:
        storage.read_npz(files[-1])
    except IndexError:
        return StorageError(f"the curve in {store.folder(trial)} is gone: run again to train it")
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


class Summary(NamedTuple):
    """Final results of one config of a cell."""

    final: dict[str, float]
    """Mean over seeds of the loss in the last evaluation, by split; NaN if a seed diverged."""
    num_diverged: int
    num_trials: int


def summarize(recorded: Sequence[Curve]) -> Summary:
    """Summarise the repetitions of one config, by the rules of `statistics.summarize`."""
    diverged = [_has_diverged(curve) for curve in recorded]
    final = {
        split: np.nan if any(diverged) else float(np.mean([c[f"eval/{split}/loss"][-1] for c in recorded]))
        for split in ("train", "outer_valid", "test")
        if all(f"eval/{split}/loss" in curve for curve in recorded)
    }
    return Summary(final, sum(diverged), len(recorded))


def _has_diverged(curve: Curve) -> bool:
    return curve.is_diverged or not all(np.isfinite(curve.get("eval/train/loss", [0.0])[-1:]))
