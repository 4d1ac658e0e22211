"""Grids of seeds x configs, each of which trains as one program."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, TypeVar

from optsuite.errors import OptsuiteError
from optsuite.hparam_sets import Config, HparamValue, Schedule, Trial
from optsuite.optimizers import get_row

_T = TypeVar("_T")

Lifting: TypeAlias = Literal["configs", "seeds", "none"]
"""Trials that one object of an optimizer class steps: those of all configs, those of a config, or one."""


@dataclass(frozen=True)
class ProgramSpec:
    """The things that trials must share to be trained by one program."""

    optimizer: str
    shared: Mapping[str, HparamValue]
    """Hyperparameters that are equal in all trials."""
    varying: tuple[str, ...]
    """Numbers that differ between trials and reach the optimizer as 0-d tensors."""
    schedule: Schedule
    precision: str


@dataclass(frozen=True)
class Grid:
    """S seeds x H configs, trained side by side; trial (s, h) has `seeds[s]` and `configs[h]`."""

    seeds: tuple[int, ...]
    configs: tuple[Config, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of seeds and configs, (S, H)."""
        return len(self.seeds), len(self.configs)

    @property
    def num_trials(self) -> int:
        """Number of trials, S * H."""
        return len(self.seeds) * len(self.configs)

    def trials(self, task_name: str, spec: ProgramSpec) -> Iterator[Trial]:
        """Give its trials, seeds outermost."""
        for seed, config in itertools.product(self.seeds, self.configs):
            yield Trial(task_name, config, spec.schedule, seed, spec.precision)

    def halves(self) -> tuple[Grid, Grid]:
        """Cut the grid in two: between seeds if there are several, else between configs."""
        if len(self.seeds) > 1:
            middle = len(self.seeds) // 2
            return Grid(self.seeds[:middle], self.configs), Grid(self.seeds[middle:], self.configs)
        middle = len(self.configs) // 2
        return Grid(self.seeds, self.configs[:middle]), Grid(self.seeds, self.configs[middle:])


class How(NamedTuple):
    """The way in which the grids of a group are run, apart from their shapes."""

    is_compiled: bool
    is_one_by_one: bool = False
    """True where evaluations take batch by batch, though several at once would pay."""
    is_by_seed: bool = False
    """True where grids hold one seed, since networks of different seeds differ in more than numbers."""
    alone_because: str = ""
    """Reason for which grids hold one trial, in words; empty where they hold more."""
    lifting: Lifting = "configs"
    """Trials that one object of an optimizer class is to step."""
    not_lifted_because: str = ""
    """Reason for which that are not all trials, in words."""
    owns_numbers: bool = False
    """True where all generators are seeded by the trial's own stream before each step and evaluation."""

    def parts(self, grid: Grid) -> list[Grid]:
        """Split a grid as these programs need it."""
        is_alone = bool(self.alone_because)
        seeds = [(seed,) for seed in grid.seeds] if self.is_by_seed or is_alone else [grid.seeds]
        configs = [(config,) for config in grid.configs] if is_alone else [grid.configs]
        return [Grid(*part) for part in itertools.product(seeds, configs)]


def group_by_spec(trials: Sequence[Trial]) -> Iterator[tuple[ProgramSpec, list[Trial]]]:
    """Sort trials of one task by what can share a program.

    Numbers that differ are lifted to tensors; a number that is the same in all trials stays a Python number,
    which keeps terms such as 1 - 0.999 exact. Words, switches and sizes decide which operations run: trials
    share them. Optimizer classes and their arguments are no part of a program.
    """
    groups: dict[object, list[Trial]] = {}
    for trial in trials:
        config = trial.config
        known, hparams = get_row(config.optimizer).hparams, _program_hparams(config)
        fixed = {k: v for k, v in hparams.items() if not known[k].domain.may_be_tensor}
        key = config.optimizer, frozenset(hparams), frozenset(fixed.items()), trial.schedule, trial.precision
        groups.setdefault(key, []).append(trial)
    for group in groups.values():
        first = _program_hparams(group[0].config)
        varying = tuple(k for k in first if any(t.config.hparams[k] != first[k] for t in group))
        yield spec_of(group, varying), group


def spec_of(trials: Sequence[Trial], varying: Sequence[str]) -> ProgramSpec:
    """Return what trials share that are to be trained by one program.

    Args:
        trials: The trials.
        varying: Hyperparameters that are lifted to tensors, even if they are equal in all these trials.

    Raises:
        OptsuiteError: They differ in something else.
    """

    def spec(trial: Trial) -> ProgramSpec:
        hparams, optimizer = _program_hparams(trial.config), trial.config.optimizer
        shared = {k: v for k, v in hparams.items() if k not in varying}
        lifted = tuple(k for k in varying if k in hparams)
        return ProgramSpec(optimizer, shared, lifted, trial.schedule, trial.precision)

    first, *others = (spec(trial) for trial in trials)
    known = get_row(first.optimizer).hparams
    can_vary = all(name in known and known[name].domain.may_be_tensor for name in varying)
    if not can_vary or any(other != first for other in others):
        raise OptsuiteError(
            "the trials of a group cannot share a program: needed those of one optimizer, schedule and "
            f"precision that differ in seeds and in {list(varying)} alone; make groups by `make_groups`"
        )
    return first


def _program_hparams(config: Config) -> Mapping[str, HparamValue]:
    """Return the hyperparameters that are part of a program, as the optimizer's row says."""
    known = get_row(config.optimizer).hparams
    return {name: value for name, value in config.hparams.items() if name in known}


def split_into_grids(trials: Sequence[Trial], width: int) -> list[Grid]:
    """Cover trials by grids of at most `width` trials, as equal in shape as can be.

    Seeds that train the same configs share a grid. Where a grid is too wide it is cut between seeds, and a
    single seed between configs, since the configs of a seed share its batches.
    """
    configs_of: dict[int, list[Config]] = {}
    for trial in trials:
        configs = configs_of.setdefault(trial.seed, [])
        if trial.config not in configs:
            configs.append(trial.config)
    seeds_of: dict[tuple[Config, ...], list[int]] = {}
    for seed, configs in configs_of.items():
        seeds_of.setdefault(tuple(configs), []).append(seed)
    return [
        Grid(seeds, part)
        for configs, all_seeds in seeds_of.items()
        for seeds in _cut(all_seeds, max(1, width // len(configs)))
        for part in _cut(configs, width)
    ]


def _cut(items: Sequence[_T], most: int) -> list[tuple[_T, ...]]:
    """Cut into runs of at most `most`, of one length where that costs few more runs."""
    size = max((d for d in range(1, most + 1) if len(items) % d == 0), default=1)
    if 3 * size < most:
        size = -(-len(items) // -(-len(items) // most))
    return [tuple(items[i : i + size]) for i in range(0, len(items), size)]
