"""The programs of a group of trials, one for each shape of a grid."""

from __future__ import annotations

import itertools
from typing import NamedTuple, final

import torch

from optsuite.optimizers import get_row
from optsuite.tasks import Task
from optsuite.trainer._adapter import TorchProgram
from optsuite.trainer._grid import Grid, ProgramSpec
from optsuite.trainer._network import Network
from optsuite.trainer._program import Program, PureProgram


class How(NamedTuple):
    """The way in which the grids of a group are run, apart from their shapes."""

    is_compiled: bool
    is_one_by_one: bool = False
    """True where evaluations take batch by batch, though several at once would pay."""
    is_by_seed: bool = False
    """True where grids hold one seed, since networks of different seeds differ in more than numbers."""
    alone_because: str = ""
    """Reason for which grids hold one trial, in words; empty where they hold more."""
    owns_numbers: bool = False
    """True where all generators are seeded by the trial's own stream before each step and evaluation."""

    def parts(self, grid: Grid) -> list[Grid]:
        """Split a grid as these programs need it."""
        is_alone = bool(self.alone_because)
        seeds = [(seed,) for seed in grid.seeds] if self.is_by_seed or is_alone else [grid.seeds]
        configs = [(config,) for config in grid.configs] if is_alone else [grid.configs]
        return [Grid(*part) for part in itertools.product(seeds, configs)]


@final
class Programs:
    """Programs by shape, each made when it is first asked for.

    Args:
        task: The task.
        spec: What the trials of the group share.
        device: Where to train.
        how: How the grids are run.
    """

    def __init__(self, task: Task, spec: ProgramSpec, device: torch.device, how: How) -> None:
        self.task, self.spec, self.device, self.how = task, spec, device, how
        self._made: dict[tuple[int, int], Program] = {}
        self._network = Network()

    def __call__(self, shape: tuple[int, int]) -> Program:
        """Give the program for a shape (S, H)."""
        if shape not in self._made:
            cls = {"pure": PureProgram, "torch": TorchProgram}[get_row(self.spec.optimizer).program]
            how = self.how
            self._made[shape] = cls(
                self.task,
                self.spec,
                shape,
                self.device,
                compile=how.is_compiled,
                one_by_one=how.is_one_by_one,
                owns_numbers=how.owns_numbers,
                network=self._network,
            )
        return self._made[shape]

    @property
    def evaluate_at_once(self) -> bool:
        """True if one of them evaluates several batches in one pass."""
        return any(program.batches_at_once > 1 for program in self._made.values())

    def run_as(self, how: How) -> Programs:
        """Return programs of the same trials that run in another way."""
        return Programs(self.task, self.spec, self.device, how)
