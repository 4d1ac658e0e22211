"""The functions that train and evaluate a grid of trials, written for one trial and lifted by `vmap`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, TypeAlias, TypeVar, final

import numpy as np
import torch
from torch import Tensor
from torch.func import grad_and_value, vmap
from torch.utils._pytree import tree_leaves
from torch.utils._pytree import tree_map as pytree_map

from optsuite._types import Array, Batch, Params
from optsuite.optimizers import OPTIMIZERS, Optimizer, OptState
from optsuite.tasks import Bound, Task
from optsuite.trainer._compile import compiled, is_long
from optsuite.trainer._grid import Grid, Rule
from optsuite.trainer._memory import batches_at_once
from optsuite.tree import tree_map

__all__ = ["Program", "PureProgram", "configs_of"]

_Tree = TypeVar("_Tree")

# Parameters, states and losses carry the axes (S, H); batches and keys (S,); hyperparameters (H,).
_Lift = Callable[..., Any]

Step: TypeAlias = Callable[[Params, OptState, Params, Batch, Tensor], tuple[Params, OptState, Tensor]]
"""(params, opt_state, hparams, batch, key) to the next params and opt_state, and the loss before them.

The next may lie where params and opt_state were.
"""


class Program(ABC):
    """Init, step and evaluation of one task and rule for grids of one shape.

    Args:
        task: What is trained.
        rule: The optimizer, with the hyperparameters that trials share.
        shape: (S, H).
        device: Where everything lives.
        compile: Whether to compile what is lifted over the grid.
        one_by_one: Whether to evaluate batch by batch though several at once would pay.
    """

    def __init__(
        self,
        task: Task,
        rule: Rule,
        shape: tuple[int, int],
        device: torch.device,
        *,
        compile: bool,  # noqa: A002 - torch's own word
        one_by_one: bool = False,
    ) -> None:
        self.task = task
        self.rule = rule
        self.device = device
        self.is_compiled = compile
        self._module = task.meta_module()
        self._lifted = _lift_none if shape == (1, 1) else _lift_grid
        self.evaluate = self._maybe_compiled(self._lifted(self._evaluate, (0, "S", "S")))
        is_single = shape == (1, 1) and not one_by_one
        self.batches_at_once = batches_at_once(task, rule.schedule, device) if is_single else 1

    @abstractmethod
    def start(self, grid: Grid) -> tuple[Params, OptState]:
        """Initial parameters, (S, H, ...), and optimizer state of every trial."""

    @property
    @abstractmethod
    def step(self) -> Step:
        """Takes one step of every trial."""

    @abstractmethod
    def params_to_evaluate(self, params: Params, opt_state: OptState) -> Params:
        """What `evaluate` is to be given at this point of the training."""

    @abstractmethod
    def failures(self, opt_state: OptState) -> dict[tuple[int, int], Exception]:
        """What kept single trials (s, h) from being trained, while the others of the grid were."""

    def unchecked(self) -> AbstractContextManager[Any]:
        """Spare compiled code its checks of shapes and devices, which cost a small task 5 to 10 %.

        They must be those of calls before.
        """
        return self._stance("default", skip_guard_eval_unsafe=True)

    def _stance(self, name: str, **options: bool) -> AbstractContextManager[Any]:
        """The compiler's, for a while; left alone where nothing is compiled: to import it takes long."""
        set_stance: Any = torch.compiler.set_stance
        return set_stance(name, **options) if self.is_compiled else nullcontext()

    def drops(self, share: float, num_steps: int) -> bool:
        """Whether to go on without that share of the configs, with a program for the rest.

        It is, where it saves more than it costs, which is nothing but the compilation, if there is one.

        Args:
            share: Of the configs; 0 to 1.
            num_steps: That are still to be trained.
        """
        if not self.is_compiled:
            return share > 0 and num_steps > 0
        return is_long(int(share * num_steps), is_single=False)

    @abstractmethod
    def keep(self, params: Params, opt_state: OptState, is_kept: Array) -> tuple[Params, OptState]:
        """The parameters and optimizer state of some of the configs.

        Args:
            params: (S, H, ...) each.
            opt_state: Of all.
            is_kept: (H,), bool.
        """

    def hparams(self, grid: Grid) -> Params:
        """The hyperparameters that differ between configs, float32 (H,) each."""
        dtype = torch.float32
        return {
            name: torch.tensor([c.hparams[name] for c in grid.configs], dtype=dtype, device=self.device)
            for name in self.rule.varying
        }

    def _initial_params(self, grid: Grid) -> Params:
        """Those of every trial, (S, H, ...), each with storage of its own."""
        inits = [dict(self.task.module(seed).named_parameters()) for seed in grid.seeds]
        return {
            name: torch.stack([init[name].detach() for init in inits])
            .to(self.device)
            .unsqueeze(1)
            .expand(-1, len(grid.configs), *inits[0][name].shape)
            .contiguous()
            for name in inits[0]
        }

    def _maybe_compiled(self, fn: _Lift) -> _Lift:
        return compiled(fn) if self.is_compiled else fn

    def _grads_and_loss(self, params: Params, batch: Batch, key: Tensor) -> tuple[Params, Tensor]:
        grads_and_loss: Callable[[Params], tuple[Params, Tensor]] = grad_and_value(
            lambda params: self.task.loss(self._bound(params), batch, key)
        )
        return grads_and_loss(params)

    def _evaluate(self, params: Params, batches: Batch, keys: Tensor) -> Tensor:
        """Metrics of each batch, (batches, metrics), of `batches_at_once` batches."""
        if len(keys) == 1:
            return self._metrics(params, tree_map(lambda field: field[0], batches), keys[0])[None]
        over_batches = vmap(self._metrics, in_dims=(None, 0, 0))
        metrics: Tensor = over_batches(params, batches, keys)
        return metrics

    def _metrics(self, params: Params, batch: Batch, key: Tensor) -> Tensor:
        """(metrics,): the task's `metric_names` in order."""
        metrics = self.task.metrics(self._bound(params), batch, key)
        return torch.stack([metrics[name] for name in self.task.metric_names])

    def _bound(self, params: Params) -> Bound:
        return Bound(self._module, params, is_bf16=self.rule.precision == "bf16")


@final
class PureProgram(Program):
    """The program of an optimizer of pure functions: all of a step is one function, lifted over the grid."""

    def start(self, grid: Grid) -> tuple[Params, OptState]:
        """Initial parameters and optimizer state of every trial, each leaf (S, H, ...)."""
        params = self._initial_params(grid)
        init = self._lifted(self._init, (0, "H"))
        # Leaves that vmap broadcast get storage of their own: strides must not change after the first step.
        return params, pytree_map(torch.Tensor.contiguous, init(params, self.hparams(grid)))

    @cached_property
    def step(self) -> Step:
        """Takes one step of every trial; compiled, in the storage of what it is given."""
        step: Step = self._lifted(self._step, (0, 0, "H", "S", "S"))
        if not self.is_compiled or not OPTIMIZERS[self.rule.optimizer].is_overwritable:
            return self._maybe_compiled(step)

        def overwrite(
            params: Params, opt_state: OptState, hparams: Params, batch: Batch, key: Tensor
        ) -> Tensor:
            *new, loss_SH = step(params, opt_state, hparams, batch, key)
            for old, value in zip(tree_leaves([params, opt_state]), tree_leaves(new), strict=True):
                old.copy_(value)
            return loss_SH

        loss_of = self._maybe_compiled(overwrite)
        return lambda params, opt_state, *rest: (params, opt_state, loss_of(params, opt_state, *rest))

    def params_to_evaluate(self, params: Params, opt_state: OptState) -> Params:
        """Those that are trained."""
        del opt_state
        return params

    def failures(self, opt_state: OptState) -> dict[tuple[int, int], Exception]:
        """None: what fails is the outcome of the whole grid."""
        del opt_state
        return {}

    def keep(self, params: Params, opt_state: OptState, is_kept: Array) -> tuple[Params, OptState]:
        """Those of some of the configs, with storage of their own."""
        return configs_of((params, opt_state), is_kept, axis=1)

    def _optimizer(self, hparams: Mapping[str, Tensor]) -> Optimizer:
        return OPTIMIZERS[self.rule.optimizer].factory(**self.rule.shared, **hparams)

    def _init(self, params: Params, hparams: Params) -> OptState:
        return self._optimizer(hparams).init(params, num_steps=self.rule.schedule.num_steps)

    def _step(
        self,
        params: Params,
        opt_state: OptState,
        hparams: Params,
        batch: Batch,
        key: Tensor,
    ) -> tuple[Params, OptState, Tensor]:
        grads, loss = self._grads_and_loss(params, batch, key)
        updates, opt_state = self._optimizer(hparams).update(grads, opt_state, params, loss=loss)
        return tree_map(torch.add, params, updates), opt_state, loss


def configs_of(tree: _Tree, is_kept: Array, *, axis: int) -> _Tree:
    """Some of the configs of every leaf, where `axis` is that of the configs."""
    index = torch.from_numpy(np.flatnonzero(is_kept))
    kept: _Tree = pytree_map(lambda leaf: leaf.index_select(axis, index.to(leaf.device)), tree)
    return kept


def _lift_grid(fn: _Lift, axes: Sequence[int | str]) -> _Lift:
    """Map over configs inside, so that they share their seed's batch, and over seeds outside."""
    inner = tuple(None if axis == "S" else 0 for axis in axes)
    outer = tuple(None if axis == "H" else 0 for axis in axes)
    return vmap(vmap(fn, in_dims=inner), in_dims=outer)


def _lift_none(fn: _Lift, axes: Sequence[int | str]) -> _Lift:
    """A grid of one trial: strip its axes instead of mapping over them, which keeps plain kernels."""
    depth = tuple(1 if axis in ("S", "H") else 2 for axis in axes)

    def run(*args: Any) -> Any:  # noqa: ANN401 - whatever `fn` takes and gives
        bare = (
            pytree_map(lambda leaf: leaf.reshape(leaf.shape[d:]), arg)  # noqa: B023 - used at once
            for d, arg in zip(depth, args, strict=True)
        )
        return pytree_map(lambda leaf: leaf[None, None], fn(*bare))

    return run
