"""Persistent evolution strategies: gradients of long unrolls, from short pieces of them."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor
from torch.func import vmap
from torch.utils._pytree import tree_map as pytree_map

from optsuite._types import Batch, Params
from optsuite.errors import OptsuiteError
from optsuite.gradients._base import Carry, GradientEstimator, Loss, perturbations
from optsuite.noise import RESTARTS, fold_in, uniform
from optsuite.tree import tree_map

State: TypeAlias = Any
"""State of an inner problem: a pytree of tensors."""


class Unroll(Protocol):
    """An inner problem that parameters act on step by step, as a pair of pure functions."""

    def init(self, params: Params, key: Tensor, /) -> State:
        """Make the state before the first step."""

    def step(self, params: Params, state: State, batch: Batch, key: Tensor, /) -> tuple[State, Tensor]:
        """Give the next state, and the 0-d loss of the step."""


class PersistentESCarry(NamedTuple):
    """Memory of N inner problems, each of which is solved at params + e and at params - e."""

    states: State
    """(2, N, ...)"""
    position: Tensor
    """(N,), int64, number of steps since the problem began."""
    accumulator: Params
    """(N, ...), sum of the perturbations e since the problem began."""


class Losses(NamedTuple):
    """Losses of a piece of the unrolls, and which of them count."""

    losses: Tensor
    """(2, T, N), at params + e and at params - e."""
    is_done: Tensor
    """(T, N), bool, whether the problem ended with the step."""
    mask: Tensor
    """(T, N), 0 where a problem began anew instead of taking a step."""


def persistent_es(
    unroll: Unroll, *, num_problems: int, total_length: int, std: float = 0.01
) -> GradientEstimator:
    """Estimate the gradient of the mean loss over whole unrolls, a piece of them at every step.

    Each of `num_problems` inner problems goes on where the last step left it, under a new perturbation; an
    estimate weighs its losses by the sum of all perturbations that it has met. A problem that has taken
    `total_length` steps spends one step on beginning anew. Problems start at random positions, so that they
    do not end all at once. The loss that is given to `estimate` is not used.

    A batch has the axes (steps of a piece, problems) in front; a piece has 2 to `total_length` steps.

    Args:
        unroll: The inner problem.
        num_problems: Number of problems, N.
        total_length: Number of steps of an unroll.
        std: Deviation of the normal perturbations, in units of the parameters.

    Source: Vicol et al., http://proceedings.mlr.press/v139/vicol21a.html;
    `learned_optimization/outer_trainers/truncated_pes.py`.
    """

    def init(params: Params, key: Tensor) -> PersistentESCarry:
        numbers = torch.arange(num_problems, device=key.device)
        position = (uniform(fold_in(key, 0), (num_problems,)) * total_length).long()
        fresh = vmap(unroll.init, in_dims=(None, 0))(params, fold_in(fold_in(key, 1), numbers))
        states = pytree_map(lambda leaf: torch.stack([leaf, leaf]), fresh)
        zeros = tree_map(lambda p: p.new_zeros(num_problems, *p.shape), params)
        return PersistentESCarry(states, position, zeros)

    def estimate(
        loss: Loss, params: Params, carry: PersistentESCarry, batch: Batch, key: Tensor
    ) -> tuple[Params, Tensor, Carry]:
        del loss
        _check_length(len(next(iter(batch.values()))), total_length)
        noise = perturbations(params, key, num_problems, std)
        both = tree_map(lambda p, e: torch.stack([p + e, p - e]), params, noise)
        states, position, losses = _run(unroll, both, carry, batch, key, total_length)
        value, grads, accumulator = combine(losses, carry.accumulator, noise, std)
        return grads, value, PersistentESCarry(states, position, accumulator)

    def evaluate(loss: Loss, params: Params, carry: PersistentESCarry, batch: Batch, key: Tensor) -> Tensor:
        return estimate(loss, params, carry, batch, key)[1]

    return GradientEstimator(init, estimate, evaluate)


def _check_length(length: int, total_length: int) -> None:
    # Of a single step, a problem that begins anew would have no loss; of more, a problem could end twice.
    if not 2 <= length <= total_length:
        raise OptsuiteError(
            f"a piece of persistent evolution strategies needs 2 to {total_length} steps, the length of an "
            f"unroll (got {length})"
        )


def _run(
    unroll: Unroll, params: Params, carry: PersistentESCarry, batch: Batch, key: Tensor, total_length: int
) -> tuple[State, Tensor, Losses]:
    """Take the steps of a piece: the next states and positions, and the losses.

    Args:
        unroll: The inner problem.
        params: (2, N, ...).
        carry: What the piece begins with.
        batch: (T, N, ...).
        key: (), the same noise for both signs.
        total_length: Number of steps of an unroll.
    """
    states, position, _ = carry
    numbers = torch.arange(len(position), device=key.device)
    step = vmap(vmap(unroll.step), in_dims=(0, 0, None, None))
    # A problem begins anew at most once in a piece.
    fresh = vmap(vmap(unroll.init), in_dims=(0, None))(params, fold_in(fold_in(key, RESTARTS), numbers))
    losses, is_done, mask = [], [], []
    for t in range(len(next(iter(batch.values())))):
        keys_N = fold_in(fold_in(key, t), numbers)
        stepped, loss = step(params, states, tree_map(lambda field: field[t], batch), keys_N)  # noqa: B023
        is_over = position >= total_length
        states = pytree_map(lambda new, old: _where(is_over, new, old), fresh, stepped)  # noqa: B023
        position = torch.where(is_over, 0, position + 1)
        losses.append(torch.where(is_over, 0.0, loss))
        is_done.append(position >= total_length)
        mask.append(~is_over)
    return states, position, Losses(torch.stack(losses, 1), torch.stack(is_done), torch.stack(mask))


def _where(condition: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Choose `new` (2, N, ...) where the condition (N,) holds, `old` elsewhere."""
    return torch.where(condition.view(-1, *[1] * (new.ndim - 2)), new, old)


def combine(piece: Losses, accumulator: Params, noise: Params, std: float) -> tuple[Tensor, Params, Params]:
    """Compute the mean loss of a piece, the estimate of the gradient, and the next sums of perturbations.

    Differences of losses before a problem ended count for all perturbations so far, those after it for the
    present one alone.

    Args:
        piece: The losses.
        accumulator: (N, ...), sums of the perturbations before the piece.
        noise: (N, ...), the perturbations of the piece.
        std: Their deviation.

    Source: `learned_optimization/outer_trainers/truncated_pes.py: compute_pes_grad`.
    """
    has_ended = piece.is_done.long().cumsum(0) > 0  # (T, N)
    mask = piece.mask.to(piece.losses.dtype)
    count = mask.sum(0)
    difference = (piece.losses[0] - piece.losses[1]) * mask
    old = torch.where(has_ended, 0.0, difference).sum(0) / count
    new = torch.where(has_ended, difference, 0.0).sum(0) / count
    total = tree_map(torch.add, accumulator, noise)

    def gradient(total: Tensor, e: Tensor) -> Tensor:
        weighted = total.reshape(len(old), -1).mT @ old + e.reshape(len(new), -1).mT @ new
        return (weighted / (2 * std**2 * len(old))).view(e.shape[1:])

    value = ((piece.losses * mask).sum(1) / count).mean()
    sums = tree_map(lambda e, all_: _where(has_ended[-1], e[None], all_[None])[0], noise, total)
    return value, tree_map(gradient, total, noise), sums
