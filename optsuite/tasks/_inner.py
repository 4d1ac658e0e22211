"""Training of a task as a part of another task: pure functions of what trains it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import grad_and_value, vmap

from optsuite._types import Batch, Params
from optsuite.errors import UnsupportedError
from optsuite.gradients import backpropagation, recomputed
from optsuite.modules import Draw, draws_heard
from optsuite.noise import INITIAL, fold_in
from optsuite.optimizers import LearnedOptimizer, OptState
from optsuite.tasks._cost import PIECE
from optsuite.tasks._task import Bound, Task
from optsuite.tree import moved, tree_map


class InnerState(NamedTuple):
    """State of an inner training before a step."""

    params: Params
    opt_state: OptState


class InnerTraining:
    """Training of a task by a learned optimizer, as functions of its theta; a pair for `persistent_es`.

    Args:
        task: The task that is trained, by the gradient of its loss.
        learned: The kind of optimizer.
        num_steps: Number of steps that the optimizer is told to expect.
    """

    def __init__(self, task: Task, learned: LearnedOptimizer, num_steps: int) -> None:
        if task.estimator != backpropagation() or task.batch_dims:
            raise UnsupportedError(
                f"`{task.name}` cannot be trained within another task: its gradient is estimated, or that of "
                "trainings itself"
            )
        self.task, self.learned, self._num_steps = task, learned, num_steps
        self._network: nn.Module | None = None
        self._draws: dict[str, Draw] = {}
        self._fixed: Params = {}
        self._constant: dict[str, float] = {}  # of those of `_fixed` that hold one number, e.g. biases

    def prepare(self) -> None:
        """Build the network, which cannot be done under a transform; must be called before all else.

        Raises:
            UnsupportedError: Its parameters cannot be drawn from a key.
        """
        if self._network is None:
            with torch.device("cpu"), draws_heard() as draws_of:  # whatever device is around it
                network, other = self.task.module(0), self.task.module(1)
            self._draws, params = draws_of(network), dict(network.named_parameters())
            self._fixed = {name: p.detach() for name, p in params.items() if name not in self._draws}
            self._check(network, dict(other.named_parameters()))
            self._constant = {
                name: p.flatten()[0].item()
                for name, p in self._fixed.items()
                if p.numel() and bool((p == p.flatten()[0]).all())
            }
            self._network = network

    def init(self, theta: Params, key: Tensor) -> InnerState:
        """Draw the network's parameters anew."""
        drawn = {name: draw(fold_in(key, number)) for number, (name, draw) in enumerate(self._draws.items())}
        params = drawn | {name: self._placed(name, key.device) for name in self._fixed}
        return InnerState(params, self.learned.optimizer(theta).init(params, num_steps=self._num_steps))

    def step(self, theta: Params, state: InnerState, batch: Batch, key: Tensor) -> tuple[InnerState, Tensor]:
        """Take a step: the next state, and the normalised loss before it, ()."""
        params, opt_state = state
        grads, loss = grad_and_value(self._loss)(params, batch, key)
        updates, opt_state = self.learned.optimizer(theta).update(grads, opt_state, params, loss=loss)
        return InnerState(tree_map(torch.add, params, updates), opt_state), self.task.normalize_fn(loss)

    def mean_loss(self, theta: Params, batches: Batch, key: Tensor) -> Tensor:
        """Train from the beginning, and return the mean of the normalised losses, ().

        The gradient computes every step twice again, so that it remembers the states of one `PIECE` of the
        training, and one for each other piece.

        Args:
            theta: Parameters of the optimizer.
            batches: (T, B, ...), a batch for each step.
            key: (), int64, decides the initial parameters and the noise in the losses.
        """
        state, losses = self.init(theta, fold_in(key, INITIAL)), []
        num_steps = len(next(iter(batches.values())))
        keys_T = fold_in(key, torch.arange(num_steps, device=key.device))
        for start in range(0, num_steps, PIECE):
            some = slice(start, start + PIECE)
            piece = {name: field[some] for name, field in batches.items()}
            state, loss_T = recomputed(self._several_steps, theta, state, piece, keys_T[some])
            losses.append(loss_T)
        return torch.cat(losses).mean()

    def mean_loss_of_problems(self, theta: Params, batches: Batch, key: Tensor) -> Tensor:
        """Train N networks side by side, and return the mean of their `mean_loss`, ().

        Args:
            theta: Parameters of the optimizer.
            batches: (T, N, B, ...), a batch for each step of each network.
            key: As for `mean_loss`.
        """
        num_problems = next(iter(batches.values())).shape[1]
        keys_N = fold_in(key, torch.arange(num_problems, device=key.device))
        losses: Tensor = vmap(self.mean_loss, in_dims=(None, 1, 0))(theta, batches, keys_N)
        return losses.mean()

    def _several_steps(
        self, theta: Params, state: InnerState, batches: Batch, keys: Tensor
    ) -> tuple[InnerState, Tensor]:
        losses = []
        for t in range(len(keys)):
            batch = {name: field[t] for name, field in batches.items()}
            state, loss = recomputed(self.step, theta, state, batch, keys[t])
            losses.append(loss)
        return state, torch.stack(losses)

    def _placed(self, name: str, device: torch.device) -> Tensor:
        """Return a parameter that is not drawn on a device, without a copy from the host if it can be."""
        fixed = self._fixed[name]
        if fixed.device.type == device.type or name not in self._constant:
            return moved(fixed, device)
        return torch.full(fixed.shape, self._constant[name], dtype=fixed.dtype, device=device)

    def _loss(self, params: Params, batch: Batch, key: Tensor) -> Tensor:
        assert self._network is not None
        return self.task.loss(Bound(self._network, params), batch, key)

    def _check(self, network: nn.Module, others: Params) -> None:
        """Refuse what cannot be drawn from a key, or given to the network."""
        needs = None
        if list(network.buffers()) or not all(p.requires_grad for p in network.parameters()):
            needs = "has buffers or frozen parameters"
        for name, param in self._fixed.items():
            if not torch.equal(param, others[name]):
                needs = f"draws `{name}` by an initialiser that is not one of optsuite.modules"
        if needs:
            raise UnsupportedError(
                f"`{self.task.name}` cannot be trained within another task, since its network {needs}"
            )
