"""Programs of `torch.optim.Optimizer` classes: the gradients of all trials at once, the updates by the class.

Each optimizer object steps on views of the stacked parameters. In general it has one trial, so that nothing
that a class does can mix trials: norms, a step size for all tensors, a state of its own. The elementwise ones
of `torch.optim` get the seeds of a config, which share its hyperparameters, as one tensor a parameter: the
same arithmetic in fewer and larger calls.

Learned optimizers ask for more: a `step` that takes a `loss` gets the trial's, a constructor that takes
`num_steps` the number of updates, and the networks that objects keep share memory (see `Networks`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cached_property
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn, optim

from optsuite._types import Array, Batch, Params
from optsuite.errors import HParamError, OptsuiteError, in_words
from optsuite.noise import generators_kept
from optsuite.optimizers import (
    OptState,
    constructor_arguments,
    import_optimizer,
    takes_matrices_only,
)
from optsuite.trainer._dump import Arrays, dump_leaves, dump_tree, load_leaves, load_tree
from optsuite.trainer._grid import Grid
from optsuite.trainer._memory import is_out_of_memory
from optsuite.trainer._program import Program, Step, Trained, configs_of, with_own_storage
from optsuite.trainer._unit import Unit
from optsuite.tree import tree_map

_ELEMENTWISE = (
    *(optim.ASGD, optim.Adadelta, optim.Adagrad, optim.Adam, optim.AdamW, optim.Adamax),
    *(optim.NAdam, optim.RAdam, optim.RMSprop, optim.Rprop, optim.SGD),
)
# Arguments that choose among the kernels of these classes. Where none is given, the kernels are chosen here
# that torch chooses by itself on CUDA only.
_KERNELS = {"foreach", "fused", "differentiable"}


@final
class TorchProgram(Program):
    """The program of an optimizer that is named by its import path."""

    def _start_optimizer(self, grid: Grid, params: Params) -> OptState:
        """Make the optimizers, which change the parameters in place."""
        path = self.spec.optimizer
        try:
            with generators_kept(self.device):
                # Steps 0 to num_steps are trained.
                return _Stepper(path, grid, params, self.spec.schedule.num_steps + 1)
        except Exception as error:
            advice = (
                ": it takes matrices only, so name `Muon`, the one of this package, or a class that steps "
                "the other parameters by another rule"
            )
            raise HParamError(
                f"`{path}` cannot be made for the parameters of `{self.task.name}` ({in_words(error)})"
                + advice * takes_matrices_only(path, grid.configs[0].hparams)
            ) from error

    @cached_property
    def step(self) -> Step:
        """Takes one step of every trial, in place."""
        estimate = self._ready(self._lifted(self._estimate, (0, 0, 0, "S", "S")))

        def step(trained: Trained, _: Params, batch: Batch, key: Tensor) -> tuple[Trained, Tensor]:
            params, stepper, carry, constants = trained
            grads, loss_SH, carry = estimate(params, carry, constants, batch, key)
            # The carry may be a view of gradients or parameters, into which optimizers write.
            carry = with_own_storage(carry)
            # Code that is not ours keeps its checks; what it draws is its trials' own already.
            with self.stance(), generators_kept(self.device):
                stepper.step(grads, loss_SH)
            return trained._replace(carry=carry), loss_SH

        return step

    def params_to_evaluate(self, trained: Trained, _: Params) -> Params:
        """Give those of the optimizers' mode for evaluation, e.g. averages, else those that are trained."""
        return {**_stepper(trained).params_to_evaluate(), **trained.constants}

    def keep(self, trained: Trained, is_kept: Array) -> Trained:
        """Go on with the parameters, optimizers and carries of some of the configs."""
        carry, constants = configs_of((trained.carry, trained.constants), is_kept, axis=1)
        return Trained(_stepper(trained).keep(is_kept), trained.opt_state, carry, constants)

    def failures(self, trained: Trained) -> dict[tuple[int, int], Exception]:
        """Give what the optimizers raised, by trial."""
        return _stepper(trained).failures

    def dump(self, trained: Trained) -> Arrays:
        """Copy the carry, the parameters and all that the optimizers remember to the host."""
        return {**dump_leaves(trained.carry, "carry"), **_stepper(trained).dump()}

    def load(self, fresh: Trained, arrays: Arrays) -> Trained:
        """Rebuild the carry, and fill the fresh optimizers with what was dumped."""
        _stepper(fresh).load(arrays, self.device)
        return fresh._replace(carry=load_leaves(fresh.carry, arrays, "carry", self.device))


def _stepper(trained: Trained) -> _Stepper:
    stepper: _Stepper = trained.opt_state
    return stepper


class _Stepper:
    """The optimizers of a grid, and what became of those that failed.

    Args:
        path: Import path of the optimizer class.
        grid: Seeds and configs.
        params: Parameters, (S, H, ...) each; every step changes them in place.
        num_updates: Number of updates, for classes that ask for it.
    """

    def __init__(self, path: str, grid: Grid, params: Params, num_updates: int) -> None:
        self.failures: dict[tuple[int, int], Exception] = {}
        self._path = path
        self._params = params
        self._own = _by_config(params)
        self._kept = torch.arange(len(grid.configs), device=next(iter(params.values())).device)
        self._made: dict[str, Tensor] = {}  # tensors of networks, as the optimizers were made with
        self._units = list(_make_units(path, grid, self._own, num_updates, self._made))
        self._running = list(self._units)

    def keep(self, is_kept: Array) -> Params:
        """Go on with some of the configs.

        Args:
            is_kept: Whether each config is kept, (H,), bool.

        Returns:
            Their parameters, (S, H, ...) each, which every step changes from now on.
        """
        units_of_config = len(self._units) // len(is_kept)
        self._units = list(itertools.compress(self._units, np.repeat(is_kept, units_of_config)))
        self._running = [unit for unit in self._running if unit in self._units]
        # The memory of the optimizers stays as it is: they may remember views of it.
        self._kept = configs_of(self._kept, is_kept, axis=0)
        self._params = configs_of(self._params, is_kept, axis=1)
        return self._params

    def _own_kept(self) -> Params:
        """Return the parameters of the configs that are kept, (H, S, ...) each."""
        if len(self._kept) == len(next(iter(self._own.values()))):
            return self._own
        return tree_map(lambda own: own.index_select(0, self._kept), self._own)

    def step(self, grads: Params, loss_SH: Tensor) -> None:
        """Step every trial that has not failed.

        Args:
            grads: Gradients, (S, H, ...) each.
            loss_SH: Losses, (S, H), of which classes may write into copies.
        """
        self._set_grads(grads)
        if self._units[0].takes_loss:
            loss_HS = with_own_storage(loss_SH.T)
            for unit, loss in zip(self._units, loss_HS.flatten().unbind(), strict=True):
                unit.loss = loss
        for unit in tuple(self._running):
            try:
                unit.step()
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                self._retire(unit, error)
        self._publish()

    def _set_grads(self, grads: Params) -> None:
        seen = set()
        for number, own in enumerate(_by_config(grads).values()):
            if own.data_ptr() in seen:  # terms of one sum share a gradient, and classes may write into it
                own = own.clone()
            seen.add(own.data_ptr())
            by_unit = own.view(len(self._units), *self._units[0].params[number].shape)
            for unit, part in zip(self._units, by_unit.unbind(), strict=True):
                unit.params[number].grad = part

    def _retire(self, unit: Unit, error: Exception) -> None:
        """Stop a unit: its trials have diverged if its numbers are not finite, else they have failed."""
        self._running.remove(unit)
        if unit.is_finite():
            self.failures |= dict.fromkeys(unit.places, error)
        unit.fill_with_nan()

    def _publish(self) -> None:
        for name, own in self._own_kept().items():
            if own.data_ptr() != self._params[name].data_ptr():
                self._params[name].copy_(own.transpose(0, 1))

    def dump(self) -> Arrays:
        """Copy the parameters and all that the optimizers remember to the host."""
        failures = [
            (*place, str(error) if type(error) is OptsuiteError else in_words(error))
            for place, error in self.failures.items()
        ]
        own = tree_map(torch.clone, self._own_kept())  # what lies in the units' memory is not dumped
        made = tree_map(torch.clone, self._made)  # to read them as arrays would end what they share
        tree = {"params": own, "failures": failures, "units": self._facts(), "made": made}
        return dump_tree(tree, "trained", self._every_param(), self._path)

    def load(self, arrays: Arrays, device: torch.device) -> None:
        """Go on from what was dumped by a stepper of the same grid and the same kept configs."""
        fresh = {"units": self._facts()}
        tree = load_tree(arrays, "trained", device, self._every_param(), fresh)
        for name, own in self._own.items():
            own.index_copy_(0, self._kept, tree["params"][name])
        self._publish()
        self.failures = {(s, h): OptsuiteError(words) for s, h, words in tree["failures"]}
        loaded = list(zip(self._units, tree["units"], strict=True))
        self._running = [unit for unit, facts in loaded if facts is not None]
        for unit, facts in loaded:
            if facts is not None:
                unit.load(**facts)

    def _facts(self) -> list[dict[str, Any] | None]:
        return [unit.facts() if unit in self._running else None for unit in self._units]

    def _every_param(self) -> list[nn.Parameter]:
        return [param for unit in self._units for param in unit.params]

    def params_to_evaluate(self) -> Params:
        """Return what the parameters are in the optimizers' mode for evaluation."""
        if not any(unit.has_modes for unit in self._running):
            return self._params
        for unit in self._running:
            unit.set_training(is_training=False)
        evaluated = {name: with_own_storage(own.transpose(0, 1)) for name, own in self._own_kept().items()}
        for unit in self._running:
            unit.set_training(is_training=True)
        self._publish()
        return evaluated


def _by_config(params: Params) -> Params:
    """Turn (S, H, ...) into (H, S, ...), a config's seeds side by side; no copy where S or H is 1."""
    return tree_map(lambda stacked: stacked.transpose(0, 1).contiguous(), params)


def _make_units(
    path: str, grid: Grid, params: Params, num_updates: int, made: dict[str, Tensor]
) -> Iterator[Unit]:
    """Make the optimizers of a grid, configs outermost.

    Args:
        path: Import path of their class.
        grid: Seeds and configs.
        params: Parameters, (H, S, ...) each, contiguous.
        num_updates: Number of updates, for classes that ask for it.
        made: Filled with the tensors of their networks.
    """
    cls = import_optimizer(path)
    for h, config in enumerate(grid.configs):
        hparams = constructor_arguments(cls, config.hparams, num_updates)
        if cls in _ELEMENTWISE:
            kernels = {} if _KERNELS & config.hparams.keys() else {"foreach": True}
            homes = [stacked[h] for stacked in params.values()]
            places = [(s, h) for s in range(len(grid.seeds))]
            yield Unit(cls, {**hparams, **kernels}, homes, places, grid.seeds[0], made)
        else:
            for s, seed in enumerate(grid.seeds):
                homes = [stacked[h, s] for stacked in params.values()]
                yield Unit(cls, hparams, homes, [(s, h)], seed, made)
