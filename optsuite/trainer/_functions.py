"""The gradient and the evaluation of a task, written for one trial and lifted by `vmap` to a grid.

They are the same for all optimizers of a task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar, final

import torch
from torch import Tensor
from torch.func import vmap
from torch.utils._pytree import tree_map as pytree_map

from optsuite._types import Batch, Params
from optsuite.gradients import Carry, Loss
from optsuite.noise import seed_generators
from optsuite.tasks import Bound, Task, is_own
from optsuite.trainer._compile import Compiled
from optsuite.trainer._grid import How
from optsuite.trainer._network import Network
from optsuite.tree import tree_map

_Tree = TypeVar("_Tree")

Lift: TypeAlias = Callable[..., Any]
"""A function for one trial, or one that is lifted to a grid.

What is trained and losses then carry the axes (S, H), batches and keys (S,), hyperparameters (H,).
"""


@final
class Functions:
    """The gradient and the evaluation for grids of one shape.

    Args:
        task: The task.
        precision: Precision of its products and convolutions.
        shape: (S, H).
        device: Where everything lives.
        how: Whether to compile, and whose numbers are drawn.
        network: The network.
    """

    def __init__(
        self,
        task: Task,
        precision: str,
        shape: tuple[int, int],
        device: torch.device,
        how: How,
        network: Network,
    ) -> None:
        self._task, self._precision, self._device, self._how = task, precision, device, how
        self._network = network
        estimate = lifted(self._estimate, (0, 0, 0, "S", "S"), shape)
        self.estimate = self._ready(_with_own_carry(estimate))
        """Function of (params, carry, constants, batch, key): grads, losses (S, H) and the next carry."""
        self.evaluate = self._ready(lifted(self._evaluate, (0, 0, "S", "S"), shape))
        """Function of (params and constants, carry, batches, keys) that gives the metrics of each of so many
        batches, (S, H, batches, metrics)."""

    def _ready(self, fn: Lift) -> Lift:
        """Compile a lifted function, or let it draw from the stream of its last argument, the keys."""
        if self._how.is_compiled:
            return Compiled(fn, f"the loss of `{self._task.name}`", is_known=not is_own(self._task))
        if not self._how.owns_numbers:
            return fn

        def call(*args: Any) -> Any:  # noqa: ANN401 - whatever `fn` takes and gives
            seed_generators(int(args[-1].flatten()[0]), self._device)
            return fn(*args)

        return call

    def _estimate(
        self, params: Params, carry: Carry, constants: Params, batch: Batch, key: Tensor
    ) -> tuple[Params, Tensor, Carry]:
        return self._task.estimator.estimate(self._loss(constants), params, carry, batch, key)

    def _loss(self, constants: Params) -> Loss:
        def loss(params: Params, batch: Batch, key: Tensor) -> Tensor:
            return self._task.loss(self._bound({**params, **constants}), batch, key)

        return loss

    def _evaluate(self, params: Params, carry: Carry, batches: Batch, keys: Tensor) -> Tensor:
        if len(keys) == 1:
            return self._metrics(params, carry, tree_map(lambda field: field[0], batches), keys[0])[None]
        over_batches = vmap(self._metrics, in_dims=(None, None, 0, 0))
        metrics: Tensor = over_batches(params, carry, batches, keys)
        return metrics

    def _metrics(self, params: Params, carry: Carry, batch: Batch, key: Tensor) -> Tensor:
        """Give the task's `metric_names` in order, (metrics,)."""
        evaluate = self._task.estimator.evaluate
        if evaluate is None:
            metrics = self._task.metrics(self._bound(params), batch, key)
        else:
            loss = evaluate(self._loss({}), params, carry, batch, key)
            metrics = {"loss": loss, "loss_normalized": self._task.normalize_fn(loss)}
        return torch.stack([metrics[name] for name in self._task.metric_names])

    def _bound(self, params: Params) -> Bound:
        return Bound(self._network.module, params, is_bf16=self._precision == "bf16")


def with_own_storage(tree: _Tree) -> _Tree:
    """Copy every leaf, which may be a view of another one, or broadcast by `vmap`."""
    own: _Tree = pytree_map(lambda leaf: leaf.clone(memory_format=torch.contiguous_format), tree)
    return own


def lifted(fn: Lift, axes: Sequence[int | str], shape: tuple[int, int]) -> Lift:
    """Lift a function to a grid of a shape.

    Args:
        fn: A function for one trial.
        axes: Axes of the grid that its arguments carry: 0 for both, or "S" or "H".
        shape: (S, H).
    """
    return _lift_none(fn, axes) if shape == (1, 1) else _lift_grid(fn, axes)


def _lift_grid(fn: Lift, axes: Sequence[int | str]) -> Lift:
    """Map over configs inside, so that they share their seed's batch, and over seeds outside."""
    inner = tuple(None if axis == "S" else 0 for axis in axes)
    outer = tuple(None if axis == "H" else 0 for axis in axes)
    return vmap(vmap(fn, in_dims=inner), in_dims=outer)


def _lift_none(fn: Lift, axes: Sequence[int | str]) -> Lift:
    """Strip the axes of a grid of one trial instead of mapping over them, which keeps plain kernels."""
    depth = tuple(1 if axis in ("S", "H") else 2 for axis in axes)

    def run(*args: Any) -> Any:  # noqa: ANN401 - whatever `fn` takes and gives
        bare = (
            pytree_map(lambda leaf: leaf.reshape(leaf.shape[d:]), arg)  # noqa: B023 - used at once
            for d, arg in zip(depth, args, strict=True)
        )
        return pytree_map(lambda leaf: leaf[None, None], fn(*bare))

    return run


def _with_own_carry(estimate: Lift) -> Lift:
    """Copy the carry, which may be a view of gradients or parameters that are written over."""

    def estimate_apart(*args: Any) -> tuple[Params, Tensor, Carry]:  # noqa: ANN401 - as `estimate`
        grads, loss_SH, carry = estimate(*args)
        return grads, loss_SH, with_own_storage(carry)

    return estimate_apart
