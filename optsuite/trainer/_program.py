"""The programs that train and evaluate grids of trials."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias, TypeVar, final

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils._pytree import tree_map as pytree_map

from optsuite._types import Array, Batch, Params
from optsuite.gradients import Carry
from optsuite.noise import generator_states, key_from, seed_generators
from optsuite.optimizers import Optimizer, OptState, as_trained, get_row
from optsuite.tasks import Task
from optsuite.trainer._compile import Compiled, updates_are_long
from optsuite.trainer._dump import Arrays, dump_leaves, load_leaves
from optsuite.trainer._functions import Functions, Lift, lifted, with_own_storage
from optsuite.trainer._grid import Grid, How, ProgramSpec
from optsuite.trainer._memory import batches_at_once
from optsuite.trainer._network import Network, constants_of, refuse_changed, trained_params
from optsuite.tree import tree_map

_Tree = TypeVar("_Tree")


class DrewError(Exception):
    """A loss, a metric or an update drew from a generator that trials of a grid would share."""


class Trained(NamedTuple):
    """All that a step changes, and what it needs besides."""

    params: Params
    opt_state: OptState
    carry: Carry
    """The state of the gradient estimator."""
    constants: Params
    """Frozen parameters and buffers, which follow from the seed."""


Step: TypeAlias = Callable[[Trained, Params, Batch, Tensor], tuple[Trained, Tensor]]
"""A function of (trained, hparams, batch, key) to what is trained after the step and the loss before it.

The result may lie where `trained` was.
"""


class Program(ABC):
    """Init, step and evaluation of one task and program spec for grids of one shape.

    Args:
        task: The task to train.
        spec: The optimizer, with the hyperparameters that trials share.
        shape: (S, H).
        device: Where everything lives.
        how: Whether to compile, to evaluate batch by batch, and whose numbers are drawn.
        network: The network, shared with programs for other shapes.
        functions: The gradient and the evaluation, shared with programs of other optimizers.
    """

    def __init__(
        self,
        task: Task,
        spec: ProgramSpec,
        shape: tuple[int, int],
        device: torch.device,
        how: How,
        network: Network,
        functions: Functions,
    ) -> None:
        self.task, self.spec, self.shape, self.device, self.how = task, spec, shape, device, how
        self._network = network
        row = get_row(spec.optimizer)
        self._shared = {**row.prepare(spec.shared, device), **row.with_roles(lambda: task.roles)}
        self.functions = functions
        may_share = shape == (1, 1) and not how.is_one_by_one
        self.batches_at_once = batches_at_once(task, spec.schedule, device) if may_share else 1

    def start(self, grid: Grid) -> Trained:
        """Make the initial parameters, optimizer states and carries of every trial, (S, H, ...) each."""
        modules = [self.task.module(seed) for seed in grid.seeds]
        params = tree_map(torch.Tensor.contiguous, self._stacked(map(trained_params, modules), grid))
        constants = self._stacked(map(constants_of, modules), grid)
        self._network.admit(modules)
        keys_S = torch.tensor([key_from(seed, "estimator") for seed in grid.seeds], device=self.device)
        carry = lifted(self.task.estimator.init, (0, "S"), self.shape)(params, keys_S)
        if self.how.owns_numbers:
            seed_generators(key_from(grid.seeds[0], "start"), self.device)
        with self.watch({}):
            opt_state = self._start_optimizer(grid, params)
        return Trained(params, opt_state, with_own_storage(carry), constants)

    @abstractmethod
    def _start_optimizer(self, grid: Grid, params: Params) -> OptState:
        """Make the optimizer state of every trial."""

    @property
    @abstractmethod
    def step(self) -> Step:
        """Takes one step of every trial."""

    @property
    def manner(self) -> str:
        """Objects that step the trials of a grid, in words; empty where functions do."""
        return ""

    @abstractmethod
    def params_to_evaluate(self, trained: Trained, hparams: Params) -> Params:
        """Give the parameters that `evaluate` takes at this point of the training.

        Args:
            trained: What a step takes.
            hparams: Likewise, (H,) each.
        """

    def carry_to_evaluate(self, trained: Trained) -> Carry:
        """Give the carry that `evaluate` takes: an empty one where losses do not depend on it."""
        return () if self.task.estimator.evaluate is None else trained.carry

    @abstractmethod
    def failures(self, trained: Trained) -> dict[tuple[int, int], Exception]:
        """Give what kept single trials (s, h) from being trained, while the others of the grid were."""

    @abstractmethod
    def keep(self, trained: Trained, is_kept: Array) -> Trained:
        """Go on with some of the configs.

        Args:
            trained: Of all configs; not to be used afterwards.
            is_kept: (H,), bool.
        """

    @abstractmethod
    def dump(self, trained: Trained) -> Arrays:
        """Copy what is trained to the host, as arrays by name.

        Raises:
            UnsupportedError: An optimizer class keeps something that cannot be put into arrays.
        """

    @abstractmethod
    def load(self, fresh: Trained, arrays: Arrays) -> Trained:
        """Rebuild what was dumped.

        Args:
            fresh: From `start` of the same grid, then `keep` of the same configs; not to be used afterwards.
            arrays: From `dump`.

        Raises:
            StorageError: Names, shapes or types differ from those of `fresh`.
        """

    @contextmanager
    def watch(self, constants: Params) -> Iterator[None]:
        """Check that what runs meanwhile changes no constant, and draws no numbers that are not the trial's.

        Raises:
            DrewError: A generator was drawn from.
            UnsupportedError: A buffer was changed.
        """
        versions = {name: constant._version for name, constant in constants.items()}
        states = () if self.how.owns_numbers else generator_states(self.device)
        yield
        if states and states != generator_states(self.device):
            raise DrewError
        for name, constant in constants.items():
            if constant._version != versions[name]:
                refuse_changed(self.task.name, name)

    def drops(self, share: float, num_steps: int) -> bool:
        """Tell whether to go on without that share of the configs, with a program for the rest.

        Dropping costs nothing but the compilation of another program, if this one is compiled.

        Args:
            share: Share of the configs that are done; 0 to 1.
            num_steps: Number of steps still to be trained.
        """
        if not self.how.is_compiled:
            return share > 0 and num_steps > 0
        return updates_are_long(int(share * num_steps))

    def hparams(self, grid: Grid) -> Params:
        """Give the hyperparameters that differ between configs, float32 (H,) each."""
        dtype = torch.float32
        return {
            name: torch.tensor([c.hparams[name] for c in grid.configs], dtype=dtype, device=self.device)
            for name in self.spec.varying
        }

    def _stacked(self, by_seed: Iterable[Params], grid: Grid) -> Params:
        """Stack tensors of the seeds, (S, H, ...); those of a seed share storage."""

        def stacked(*tensors: Tensor) -> Tensor:
            stack_S = torch.stack(tensors).to(self.device)
            return stack_S.unsqueeze(1).expand(-1, len(grid.configs), *stack_S.shape[1:])

        return tree_map(stacked, *by_seed)


@final
class PureProgram(Program):
    """The program of an optimizer of pure functions: all of a step is one function, lifted over the grid."""

    def _start_optimizer(self, grid: Grid, params: Params) -> OptState:
        init = lifted(self._init, (0, "H"), self.shape)
        # Leaves that vmap broadcast, or that are one tensor in two places, are written over one by one.
        return with_own_storage(init(params, self.hparams(grid)))

    @cached_property
    def step(self) -> Step:
        """Takes one step of every trial; where updates are compiled, in the storage of what it is given."""
        update = lifted(self._update, (0, 0, 0, "H", 0), self.shape)
        if self.how.is_compiled and updates_are_long(self.spec.schedule.num_steps):
            is_overwritable = get_row(self.spec.optimizer).is_overwritable
            wrapped = _in_place(update) if is_overwritable else _contiguous(update)
            update = Compiled(wrapped, f"the update of `{self.spec.optimizer}`", is_known=is_overwritable)

        def step(trained: Trained, hparams: Params, batch: Batch, key: Tensor) -> tuple[Trained, Tensor]:
            params, opt_state, carry, constants = trained
            grads, loss_SH, carry = self.functions.estimate(params, carry, constants, batch, key)
            params, opt_state = update(params, opt_state, grads, hparams, loss_SH) or (params, opt_state)
            return Trained(params, opt_state, carry, constants), loss_SH

        return step

    def params_to_evaluate(self, trained: Trained, hparams: Params) -> Params:
        """Give what the optimizer says, most often those that are trained, and the constants."""
        params, opt_state, _, constants = trained
        first = self._optimizer({name: value_H[0] for name, value_H in hparams.items()})
        if first.evaluated is not as_trained:
            params = lifted(self._evaluated, (0, 0, "H"), self.shape)(opt_state, params, hparams)
        return {**params, **constants}

    def failures(self, trained: Trained) -> dict[tuple[int, int], Exception]:
        """Give nothing: what fails is the outcome of the whole grid."""
        del trained
        return {}

    def keep(self, trained: Trained, is_kept: Array) -> Trained:
        """Go on with some of the configs, with storage of their own."""
        return configs_of(trained, is_kept, axis=1)

    def dump(self, trained: Trained) -> Arrays:
        """Copy every leaf but the constants to the host."""
        return dump_leaves(trained._replace(constants={}), "trained")

    def load(self, fresh: Trained, arrays: Arrays) -> Trained:
        """Rebuild every leaf where `fresh` has one."""
        changing = load_leaves(fresh._replace(constants={}), arrays, "trained", self.device)
        return changing._replace(constants=fresh.constants)

    def _optimizer(self, hparams: Mapping[str, Tensor]) -> Optimizer:
        return get_row(self.spec.optimizer).factory(**self._shared, **hparams)

    def _init(self, params: Params, hparams: Params) -> OptState:
        return self._optimizer(hparams).init(params, num_steps=self.spec.schedule.num_steps)

    def _evaluated(self, opt_state: OptState, params: Params, hparams: Params) -> Params:
        return self._optimizer(hparams).evaluated(opt_state, params)

    def _update(
        self, params: Params, opt_state: OptState, grads: Params, hparams: Params, loss: Tensor
    ) -> tuple[Params, OptState]:
        updates, opt_state = self._optimizer(hparams).update(grads, opt_state, params, loss=loss)
        return tree_map(torch.add, params, updates), opt_state


def _in_place(update: Lift) -> Lift:
    """Write what an update gives over what it is given."""

    def overwrite(params: Params, opt_state: OptState, *rest: Any) -> None:  # noqa: ANN401 - as `update`
        new = update(params, opt_state, *rest)
        for old, value in zip(tree_leaves((params, opt_state)), tree_leaves(new), strict=True):
            old.copy_(value)

    return overwrite


def _contiguous(update: Lift) -> Lift:
    """Lay out what an update gives as what it is first given, so that it is compiled once."""
    return lambda *args: pytree_map(torch.Tensor.contiguous, update(*args))


def configs_of(tree: _Tree, is_kept: Array, *, axis: int) -> _Tree:
    """Select some of the configs of every leaf.

    Args:
        tree: A pytree of tensors.
        is_kept: (H,), bool.
        axis: The axis of the configs.
    """
    index = torch.from_numpy(np.flatnonzero(is_kept))
    kept: _Tree = pytree_map(lambda leaf: leaf.index_select(axis, index.to(leaf.device)), tree)
    return kept
