"""The functions that train and evaluate a grid of trials, written for one trial and lifted by `vmap`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value, vmap
from torch.utils._pytree import tree_map as pytree_map

from optsuite._types import Batch, Params
from optsuite.optimizers import OPTIMIZERS, Optimizer, OptState
from optsuite.tasks import Task
from optsuite.trainer._compile import compiled
from optsuite.trainer._grid import Grid, Rule
from optsuite.tree import tree_map

__all__ = ["Program"]

# Parameters, states and losses carry the axes (S, H); batches and keys (S,); hyperparameters (H,).
_Lift = Callable[..., Any]


class Program:
    """Init, step and evaluation of one task and rule for grids of one shape.

    Args:
        task: What is trained.
        rule: The optimizer, with the hyperparameters that trials share.
        shape: (S, H).
        device: Where everything lives.
        compile: Whether to compile the step and the evaluation.
    """

    def __init__(
        self,
        task: Task,
        rule: Rule,
        shape: tuple[int, int],
        device: torch.device,
        *,
        compile: bool,  # noqa: A002 - torch's own word
    ) -> None:
        self.task = task
        self.rule = rule
        self.device = device
        self.is_compiled = compile
        self._module = task.meta_module()
        lift = _lift_none if shape == (1, 1) else _lift_grid
        maybe_compiled: _Lift = compiled if compile else lambda fn: fn
        self.step = maybe_compiled(lift(self._step, (0, 0, "H", "S", "S")))
        self.evaluate = maybe_compiled(lift(self._evaluate, (0, "S", "S")))
        self._init_state = lift(self._init, (0, "H"))

    def start(self, grid: Grid) -> tuple[Params, OptState]:
        """Initial parameters and optimizer state of every trial, each leaf (S, H, ...)."""
        inits = [dict(self.task.module(seed).named_parameters()) for seed in grid.seeds]
        params = {
            name: torch.stack([init[name].detach() for init in inits])
            .to(self.device)
            .unsqueeze(1)
            .expand(-1, len(grid.configs), *inits[0][name].shape)
            .contiguous()
            for name in inits[0]
        }
        # Leaves that vmap broadcast get storage of their own: strides must not change after the first step.
        return params, pytree_map(torch.Tensor.contiguous, self._init_state(params, self.hparams(grid)))

    def hparams(self, grid: Grid) -> Params:
        """The hyperparameters that differ between configs, float32 (H,) each."""
        return {
            name: torch.tensor([float(c.hparams[name]) for c in grid.configs], device=self.device)
            for name in self.rule.varying
        }

    def _optimizer(self, hparams: Mapping[str, Tensor]) -> Optimizer:
        return OPTIMIZERS[self.rule.optimizer].factory(**self.rule.shared, **hparams)

    def _model(self, params: Params) -> Callable[..., Any]:
        return lambda *inputs: functional_call(self._module, params, inputs)

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
        def loss_of(params: Params) -> Tensor:
            return self.task.loss(self._model(params), batch, key)

        grads, loss = grad_and_value(loss_of)(params)
        updates, opt_state = self._optimizer(hparams).update(grads, opt_state, params, loss=loss)
        return tree_map(torch.add, params, updates), opt_state, loss

    def _evaluate(self, params: Params, batch: Batch, key: Tensor) -> Tensor:
        """(metrics,): the task's `metric_names` in order."""
        metrics = self.task.metrics(self._model(params), batch, key)
        return torch.stack([metrics[name] for name in self.task.metric_names])


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
