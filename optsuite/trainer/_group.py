"""Groups: the trials that train side by side, which are claimed, kept and resumed together."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol, final

import torch

from optsuite import data
from optsuite.errors import OptsuiteError
from optsuite.hparam_sets import Trial
from optsuite.tasks import Task
from optsuite.trainer._adapter import check_fit
from optsuite.trainer._dump import Arrays
from optsuite.trainer._grid import Grid, How, ProgramSpec, group_by_spec, spec_of, split_into_grids
from optsuite.trainer._layout import choose_layout
from optsuite.trainer._layouts_file import Layout
from optsuite.trainer._lift_mode import CannotLiftError
from optsuite.trainer._programs import Programs
from optsuite.trainer._reproducible import check_precision, reproducible, resolve_device
from optsuite.trainer._ways import less_lifted


class Group(NamedTuple):
    """A group of trials of one task that train as one grid; their curves are a function of it alone."""

    trials: tuple[Trial, ...]
    """S x H trials, every seed crossed with every config."""
    varying: tuple[str, ...]
    """Hyperparameters that reach the program as tensors, since they differ between trials of the cell."""
    layout: Layout
    """The layout that was chosen for the trials of the cell."""

    @property
    def spec(self) -> ProgramSpec:
        """Return what its trials share.

        Raises:
            OptsuiteError: They cannot share a program.
        """
        return spec_of(self.trials, self.varying)

    @property
    def grid(self) -> Grid:
        """Return its seeds and configs.

        Raises:
            OptsuiteError: Its trials are not all seeds crossed with all configs.
        """
        seeds = tuple(dict.fromkeys(trial.seed for trial in self.trials))
        configs = tuple(dict.fromkeys(trial.config for trial in self.trials))
        grid = Grid(seeds, configs)
        pairs = {(trial.seed, trial.config) for trial in self.trials}
        if not self.trials or not len(pairs) == len(self.trials) == grid.num_trials:
            raise OptsuiteError(
                f"a group needs each of {len(seeds)} seeds crossed with each of {len(configs)} configs, got "
                f"{len(self.trials)} trials: make it by `make_groups`"
            )
        return grid


class Keeper(Protocol):
    """A place where the state of one group is kept while it trains, and which may stop it."""

    every_s: float
    """Seconds from one save to the next; infinite: only when stopped."""

    def load(self) -> Arrays | None:
        """Give the state that was saved last, or None.

        Raises:
            CorruptFileError: It cannot be read, and is to be set aside.
        """

    def save(self, arrays: Arrays) -> None:
        """Keep a state in place of the last one.

        Raises:
            StorageError: It cannot be written; training goes on.
        """

    def set_aside(self, reason: str) -> None:
        """Put the state that was saved out of the way, since it is of no use here, and tell why."""

    def recorded(self) -> Collection[Trial]:
        """Give the trials of the group whose curves are recorded."""

    def should_stop(self) -> bool:
        """Tell whether training is to be stopped; asked every few seconds."""


@final
class Unkept:
    """A keeper that keeps nothing and never stops."""

    every_s = math.inf

    def load(self) -> None:
        """Give nothing."""

    def save(self, arrays: Arrays) -> None:
        """Keep nothing."""

    def set_aside(self, reason: str) -> None:
        """Do nothing."""

    def recorded(self) -> Collection[Trial]:
        """Give no trials."""
        return ()

    def should_stop(self) -> bool:
        """Return False."""
        return False


def make_groups(
    task: Task,
    trials: Sequence[Trial],
    *,
    mode: str | None = None,
    device: torch.device | str | None = None,
) -> list[Group]:
    """Share trials out to groups, as many side by side as pays; where training is long, that is measured.

    Args:
        task: The task.
        trials: All of this task; they may differ in config, schedule and seed.
        mode: Data: auto, real or synthetic; None reads `OPTSUITE_DATA`.
        device: Where they will train; None takes CUDA if there is one.

    Returns:
        Groups that hold each trial once; plain data, of use wherever there is such a device.

    Raises:
        DataError: The data are missing or damaged.
        HParamError: An optimizer class does not fit the task's parameters.
        UnsupportedError: The device does not have the precision that is asked for.
    """
    where, source = checked(task, trials, mode, device)
    groups: list[Group] = []
    for spec, members in group_by_spec(trials):
        layout = _layout(Programs(task, spec, where, How(False)), members, source)
        groups.extend(
            Group(tuple(grid.trials(task.name, spec)), spec.varying, layout)
            for grid in split_into_grids(members, layout.width)
        )
    return groups


def _layout(programs: Programs, trials: Sequence[Trial], source: data.Source) -> Layout:
    try:
        with reproducible(programs.device, programs.spec.precision):
            return choose_layout(programs, trials, source)
    except CannotLiftError as error:
        return _layout(programs.run_as(less_lifted(programs.how, error)), trials, source)
    except Exception:  # noqa: BLE001 - a task of the user's may raise anything, and will again as it runs
        return Layout(len(trials), is_compiled=False)


def checked(
    task: Task, trials: Sequence[Trial], mode: str | None, device: torch.device | str | None
) -> tuple[torch.device, data.Source]:
    """Find the device and the data source, and check that trials can be trained there.

    Args:
        task: As for `make_groups`.
        trials: Likewise.
        mode: Likewise.
        device: Likewise.

    Raises:
        OptsuiteError: As `make_groups` says.
    """
    if strangers := {trial.task_name for trial in trials} - {task.name}:
        raise OptsuiteError(f"trials of `{task.name}` needed, got trials of {sorted(strangers)}")
    for config in {trial.config.optimizer: trial.config for trial in trials}.values():
        check_fit(task, config)
    where = resolve_device(device)
    for precision in {trial.precision for trial in trials}:
        check_precision(precision, where)
    return where, data.resolve_source(task.dataset.dataset, mode)
