"""The programs of a group of trials, one for each shape of a grid."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple, final

import torch

from optsuite.optimizers import get_row
from optsuite.tasks import Task, is_own
from optsuite.trainer._adapter import TorchProgram
from optsuite.trainer._functions import Functions
from optsuite.trainer._grid import How, ProgramSpec
from optsuite.trainer._network import Network
from optsuite.trainer._program import Program, PureProgram


class _Shared(NamedTuple):
    """The things that programs of one task share."""

    network: Network
    functions: dict[Any, Functions]
    """Gradients and evaluations by all that they depend on besides."""


@functools.lru_cache(maxsize=4)
def _shared_by_cells(_task_name: str) -> _Shared:
    """Return what all cells of a task of this package share, whose networks differ in numbers alone."""
    return _Shared(Network(), {})


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
        self._shared = _Shared(Network(), {}) if is_own(task) else _shared_by_cells(task.name)
        self._ways: dict[How, Programs] = {how: self}

    def __call__(self, shape: tuple[int, int]) -> Program:
        """Give the program for a shape (S, H)."""
        if shape not in self._made:
            cls = {"pure": PureProgram, "torch": TorchProgram}[get_row(self.spec.optimizer).program]
            functions = self._functions_of(shape)
            self._made[shape] = cls(
                self.task, self.spec, shape, self.device, self.how, self._shared.network, functions
            )
        return self._made[shape]

    def _functions_of(self, shape: tuple[int, int]) -> Functions:
        network, functions = self._shared
        # The number of threads is part of compiled code.
        how = self.how.is_compiled, self.how.owns_numbers, torch.get_num_threads()
        key = self.spec.precision, shape, self.device, how
        if key not in functions:
            functions[key] = Functions(self.task, self.spec.precision, shape, self.device, self.how, network)
        return functions[key]

    @property
    def evaluate_at_once(self) -> bool:
        """True if one of them evaluates several batches in one pass."""
        return any(program.batches_at_once > 1 for program in self._made.values())

    @property
    def are_fresh(self) -> bool:
        """True until a grid has been started with them."""
        return not self._shared.network.is_given

    def run_as(self, how: How) -> Programs:
        """Return programs of the same trials that run in another way, which are made once."""
        return self._ways[how] if how in self._ways else self.afresh(how)

    def afresh(self, how: How) -> Programs:
        """Return programs that no grid has been started with, for `run_as` to return from now on."""
        programs = Programs(self.task, self.spec, self.device, how)
        programs._ways = self._ways
        self._ways[how] = programs
        return programs
