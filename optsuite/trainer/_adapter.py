"""Programs of `torch.optim.Optimizer` classes: the gradients of all trials at once, the updates by the class.

Each optimizer object steps on views of the stacked parameters. One object steps all trials where the code of
its class can be lifted over them (see `LiftedUnit`), else one steps the seeds of each config, else one each
trial. So nothing that a class does mixes trials: norms, a step size for all tensors, a state of its own.

Learned optimizers ask for more: a `step` that takes a `loss` gets the trial's, a constructor that takes
`num_steps` the number of updates, and the networks that objects keep share memory (see `Networks`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property, partial
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from optsuite._types import Array, Batch, Params
from optsuite.errors import HParamError, OptsuiteError, in_words
from optsuite.hparam_sets import Config
from optsuite.noise import generators_kept
from optsuite.optimizers import (
    OptState,
    constructor_arguments,
    get_row,
    import_optimizer,
    takes_matrices_only,
)
from optsuite.tasks import Task
from optsuite.trainer._dump import Arrays, dump_leaves, dump_tree, load_leaves, load_tree
from optsuite.trainer._functions import with_own_storage
from optsuite.trainer._grid import Grid, Lifting
from optsuite.trainer._lift_mode import CannotLiftError
from optsuite.trainer._lifted import LiftedUnit
from optsuite.trainer._memory import is_out_of_memory
from optsuite.trainer._program import Program, Step, Trained, configs_of
from optsuite.trainer._unit import Unit
from optsuite.tree import tree_map


def check_fit(task: Task, config: Config) -> None:
    """Refuse a class that takes matrices only where the task has other parameters.

    Raises:
        HParamError: Says so.
    """
    path = config.optimizer
    if get_row(path).program != "torch":
        return
    others = [shape for shape in task.param_shapes if len(shape) != 2]
    if others and takes_matrices_only(path, config.hparams):
        raise HParamError(
            f"`{path}` takes matrices only, and `{task.name}` has parameters of other shapes, such as "
            f"{others[0]}: name `Muon`, the one of this package, or a class that steps the "
            "others by another rule"
        )


@final
class TorchProgram(Program):
    """The program of an optimizer that is named by its import path."""

    def _start_optimizer(self, grid: Grid, params: Params) -> OptState:
        """Make the optimizers, which change the parameters in place."""
        path = self.spec.optimizer
        try:
            with generators_kept(self.device):
                # Steps 0 to num_steps are trained.
                return _Stepper(path, grid, params, self.spec.schedule.num_steps + 1, self.lifting)
        except CannotLiftError:
            raise
        except (Exception, SystemExit) as error:
            raise HParamError(
                f"`{path}` cannot be made for the parameters of `{self.task.name}` ({in_words(error)})"
            ) from error

    @property
    def lifting(self) -> Lifting:
        """Trials that one object steps, as far as there are several."""
        num_seeds, num_configs = self.shape
        if self.how.lifting == "configs" and num_seeds * num_configs > 1:
            return "configs"
        return "seeds" if self.how.lifting != "none" and num_seeds > 1 else "none"

    @property
    def manner(self) -> str:
        """Objects of the optimizer that there are, in words."""
        return {
            "configs": "one optimizer object",
            "seeds": "an optimizer object a config",
            "none": "an optimizer object a trial",
        }[self.lifting]

    @cached_property
    def step(self) -> Step:
        """Takes one step of every trial, in place."""

        def step(trained: Trained, _: Params, batch: Batch, key: Tensor) -> tuple[Trained, Tensor]:
            params, stepper, carry, constants = trained
            grads, loss_SH, carry = self.functions.estimate(params, carry, constants, batch, key)
            stepper.step(grads, loss_SH)
            return trained._replace(carry=carry), loss_SH

        return step

    def params_to_evaluate(self, trained: Trained, _: Params) -> Params:
        """Give those of the optimizers' mode for evaluation, e.g. averages, else those that are trained."""
        return {**_stepper(trained).params_to_evaluate(), **trained.constants}

    def keep(self, trained: Trained, is_kept: Array) -> Trained:
        """Go on with the parameters, optimizers and carries of some of the configs."""
        carry, constants = configs_of((trained.carry, trained.constants), is_kept, axis=1)
        with generators_kept(self.device):
            params = _stepper(trained).keep(is_kept)
        return Trained(params, trained.opt_state, carry, constants)

    def failures(self, trained: Trained) -> dict[tuple[int, int], Exception]:
        """Give what the optimizers raised, by trial."""
        return _stepper(trained).failures

    def dump(self, trained: Trained) -> Arrays:
        """Copy the carry, the parameters and all that the optimizers remember to the host."""
        return {**dump_leaves(trained.carry, "carry"), **_stepper(trained).dump()}

    def load(self, fresh: Trained, arrays: Arrays) -> Trained:
        """Rebuild the carry, and fill the fresh optimizers with what was dumped."""
        with generators_kept(self.device):
            _stepper(fresh).load(arrays, self.device)
        return fresh._replace(carry=load_leaves(fresh.carry, arrays, "carry", self.device))


def _stepper(trained: Trained) -> _Stepper:
    stepper: _Stepper = trained.opt_state
    return stepper


class _Stepper:
    """The optimizers of a grid, and what became of those that failed.

    Trials stand in a row: seeds outermost where one object steps them all, else configs outermost.

    Args:
        path: Import path of the optimizer class.
        grid: Seeds and configs.
        params: Parameters, (S, H, ...) each; every step changes them in place.
        num_updates: Number of updates, for classes that ask for it.
        lifting: Trials that one object steps.
    """

    def __init__(self, path: str, grid: Grid, params: Params, num_updates: int, lifting: Lifting) -> None:
        self.failures: dict[tuple[int, int], Exception] = {}
        self._path, self._grid, self._num_updates = path, grid, num_updates
        self._lifting = lifting
        self._params = params
        self._own = self._in_a_row(params)
        self._kept = torch.arange(len(grid.configs), device=next(iter(params.values())).device)
        self._made: dict[str, Tensor] = {}  # tensors of networks, as the optimizers were made with
        seeds, configs = range(len(grid.seeds)), range(len(grid.configs))
        pairs = [(s, h) for s in seeds for h in configs]
        self._places = pairs if lifting == "configs" else sorted(pairs, key=lambda pair: pair[1])
        self._units = self._gathered(self._single_units())
        self._running = list(self._units)

    def _in_a_row(self, stacked: Params) -> Params:
        """Turn (S, H, ...) into (N, ...); no copy where seeds are outermost, or S or H is 1."""
        is_in_order = self._lifting == "configs"
        return tree_map(
            lambda t: (t if is_in_order else t.transpose(0, 1)).contiguous().flatten(0, 1), stacked
        )

    def _in_grid(self, rows: Tensor) -> Tensor:
        """Turn (N, ...) into a view (S, H, ...)."""
        num_seeds = len(self._grid.seeds)
        if self._lifting == "configs":
            return rows.view(num_seeds, -1, *rows.shape[1:])
        return rows.view(-1, num_seeds, *rows.shape[1:]).transpose(0, 1)

    def _single_units(self) -> list[Unit]:
        return [self._make(n, [own[n] for own in self._own.values()]) for n in range(len(self._places))]

    def _make(self, n: int, homes: list[Tensor]) -> Unit:
        """Make the object of one trial, whose parameters are in `homes`."""
        s, h = self._places[n]
        cls = import_optimizer(self._path)
        hparams = constructor_arguments(cls, self._grid.configs[h].hparams, self._num_updates)
        return Unit(cls, hparams, homes, [(s, h)], self._grid.seeds[s], self._made)

    def _gathered(self, units: list[Unit]) -> list[Unit | LiftedUnit]:
        """Make one object of those that one object is to step."""
        if self._lifting == "none":
            return list(units)
        size = len(units) if self._lifting == "configs" else len(self._grid.seeds)
        lifted: list[Unit | LiftedUnit] = []
        for first in range(0, len(units), size):
            own = [rows[first : first + size] for rows in self._own.values()]
            make = partial(lambda start, n, homes: self._make(start + n, homes), first)
            with _lifting():
                lifted.append(LiftedUnit(units[first : first + size], own, make, self._num_updates))
        return lifted

    def keep(self, is_kept: Array) -> Params:
        """Go on with some of the configs.

        Args:
            is_kept: Whether each config is kept, (H,), bool.

        Returns:
            Their parameters, (S, H, ...) each, which every step changes from now on.
        """
        self._params = configs_of(self._params, is_kept, axis=1)
        if self._lifting == "configs":
            self._keep_rows(np.flatnonzero(np.tile(is_kept, len(self._grid.seeds))))
        else:
            # The memory of the optimizers stays as it is: they may remember views of it.
            self._kept = configs_of(self._kept, is_kept, axis=0)
            rows = np.repeat(is_kept, len(self._units) // len(is_kept))
            self._units = list(itertools.compress(self._units, rows))
        self._running = [unit for unit in self._running if unit in self._units]
        return self._params

    def _keep_rows(self, rows: Array) -> None:
        """Go on with some of the trials that one object steps, in the memory of their parameters."""
        (whole,) = self._units
        assert isinstance(whole, LiftedUnit)
        whole.check()
        self._own = self._in_a_row(self._params)
        self._kept = torch.arange(len(rows) // len(self._grid.seeds), device=self._kept.device)
        self._places = [self._places[row] for row in rows]
        units = self._single_units()
        for unit, row in zip(units, rows, strict=True):
            unit.load(**whole.facts(row, unit.params))
        self._units = self._running = self._gathered(units)

    def _current(self) -> Params:
        """Return the parameters of the configs that are kept, (S, H, ...) each, views where all are."""
        own = tree_map(self._in_grid, self._own)
        if len(self._kept) == next(iter(own.values())).shape[1]:
            return own
        return tree_map(lambda grid: grid.index_select(1, self._kept), own)

    def step(self, grads: Params, loss_SH: Tensor) -> None:
        """Step every trial that has not failed.

        Args:
            grads: Gradients, (S, H, ...) each.
            loss_SH: Losses, (S, H), of which classes may write into copies.
        """
        rows = _with_own_memory(self._in_a_row(grads).values())
        losses = with_own_storage(self._in_a_row({"loss": loss_SH})["loss"])
        size = len(losses) // len(self._units)
        parts = [torch.split(row, size) for row in (losses, *rows)]
        # One object for several trials draws nothing, or it is found out.
        with generators_kept(losses.device) if self._lifting == "none" else nullcontext():
            for unit, loss, *own in zip(self._units, *parts, strict=True):
                if unit in self._running:
                    self._step_unit(unit, own, loss)
        self._publish()

    def _step_unit(self, unit: Unit | LiftedUnit, grads: list[Tensor], loss: Tensor) -> None:
        try:
            if isinstance(unit, LiftedUnit):
                with _lifting():
                    unit.step(grads, loss)
            else:
                unit.step([grad[0] for grad in grads], loss[0])
        except (Exception, SystemExit) as error:
            if is_out_of_memory(error) or isinstance(unit, LiftedUnit):
                raise
            self._retire(unit, error if isinstance(error, Exception) else OptsuiteError(in_words(error)))

    def _retire(self, unit: Unit, error: Exception) -> None:
        """Stop a unit: its trials have diverged if its numbers are not finite, else they have failed."""
        self._running.remove(unit)
        if unit.is_finite():
            self.failures |= dict.fromkeys(unit.places, error)
        unit.fill_with_nan()

    def _publish(self) -> None:
        for name, own in self._current().items():
            if own.data_ptr() != self._params[name].data_ptr():
                self._params[name].copy_(own)

    def dump(self) -> Arrays:
        """Copy the parameters and all that the optimizers remember to the host."""
        failures = [
            (*place, str(error) if type(error) is OptsuiteError else in_words(error))
            for place, error in self.failures.items()
        ]
        own = with_own_storage(self._current())  # what lies in the units' memory is not dumped
        made = tree_map(torch.clone, self._made)  # to read them as arrays would end what they share
        facts, params = self._facts()
        tree = {"params": own, "failures": failures, "units": facts, "made": made}
        return dump_tree(tree, "trained", params, self._path)

    def _facts(self) -> tuple[list[dict[str, Any] | None], list[nn.Parameter]]:
        """Give the facts of every trial, and the parameters that stand in them."""
        facts: list[dict[str, Any] | None] = []
        params: list[nn.Parameter] = []
        for unit in self._units:
            if isinstance(unit, LiftedUnit):
                unit.check()
                for n in range(len(unit.places)):
                    own = unit.params_of(n)
                    facts.append(unit.facts(n, own))
                    params.extend(own)
            else:
                facts.append(unit.facts() if unit in self._running else None)
                params.extend(unit.params)
        return facts, params

    def load(self, arrays: Arrays, device: torch.device) -> None:
        """Go on from what was dumped by a stepper of the same grid and the same kept configs."""
        groups = [unit.singles() if isinstance(unit, LiftedUnit) else [unit] for unit in self._units]
        singles = [unit for group in groups for unit in group]
        params = [param for unit in singles for param in unit.params]
        tree = load_tree(arrays, "trained", device, params, {"units": [unit.facts() for unit in singles]})
        for name, own in self._own.items():
            self._in_grid(own).index_copy_(1, self._kept, tree["params"][name])
        self.failures = {(s, h): OptsuiteError(words) for s, h, words in tree["failures"]}
        loaded = list(zip(singles, tree["units"], strict=True))
        for unit, facts in loaded:
            if facts is not None:
                unit.load(**facts)
        failed = [unit for unit, facts in loaded if facts is None]
        self._units = [
            unit.remade(group) if isinstance(unit, LiftedUnit) else unit
            for unit, group in zip(self._units, groups, strict=True)
        ]
        self._running = [unit for unit in self._units if unit not in failed]
        self._publish()

    def params_to_evaluate(self) -> Params:
        """Return what the parameters are in the optimizers' mode for evaluation."""
        if not any(unit.has_modes for unit in self._running):
            return self._params
        with _lifting() if self._lifting != "none" else nullcontext():
            for unit in self._running:
                unit.set_training(is_training=False)
            evaluated = with_own_storage(self._current())
            for unit in self._running:
                unit.set_training(is_training=True)
        self._publish()
        return evaluated


@contextmanager
def _lifting() -> Iterator[None]:
    """Say of errors that several trials were too many for one object, unless it was for memory."""
    try:
        yield
    except CannotLiftError:
        raise
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):
            raise
        raise CannotLiftError(_why_not_lifted(error)) from error


def _why_not_lifted(error: BaseException) -> str:
    words = in_words(error)
    if "data-dependent control flow" in words or ".item()" in words:
        return "it decides by numbers of single trials"
    return "it draws random numbers" if "random operation" in words else words


def _with_own_memory(stacks: Iterable[Tensor]) -> list[Tensor]:
    """Copy what lies in the memory of an earlier one.

    Terms of one sum share a gradient, and classes may write into theirs.
    """
    seen: set[int] = set()
    own = []
    for stack in stacks:
        own.append(stack.clone() if stack.data_ptr() in seen else stack)
        seen.add(own[-1].data_ptr())
    return own
