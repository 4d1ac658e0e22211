"""Tasks whose parameters are a learned optimizer's, and whose loss is how well it trains several tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from optsuite._types import Batch, Params
from optsuite.data import JointSpec
from optsuite.errors import HParamError, parameter
from optsuite.gradients import backpropagation, mean_of, persistent_es
from optsuite.noise import draw_key, fold_in
from optsuite.optimizers import LearnedOptimizer
from optsuite.tasks._inner import InnerTraining
from optsuite.tasks._lopt import Theta
from optsuite.tasks._task import Model, Task, unchanged

_MOST_LOSS = 20.0


def meta_task(
    name: str,
    inner: Sequence[Task],
    learned: LearnedOptimizer,
    *,
    estimator: Literal["pes", "unroll"],
    num_problems: int,
    total_length: int,
    unroll_length: int,
    std: float = 0.01,
) -> Task:
    """Make a task whose loss is the mean over tasks of the mean normalised loss as they are trained.

    Trainings go wrong as an optimizer is learned: a loss that is NaN counts as an infinite one, normalised as
    the task does it and at most 20, which the reference takes for NaN.

    A batch has the fields of every task, after its number: `0/image`. Tasks of smaller batches take the first
    of its examples.

    Args:
        name: Name of the task.
        inner: The tasks that are trained.
        learned: The kind of optimizer.
        estimator: How its gradient is estimated. `pes`: from a piece of the trainings at each step, by
            `persistent_es` for each task. `unroll`: from whole trainings, by backpropagation through them.
        num_problems: Number of trainings of each task, side by side.
        total_length: Number of their steps.
        unroll_length: Number of inner steps in a step of this task; `total_length` for `unroll`.
        std: Deviation of the perturbations of `pes`.

    Raises:
        UnsupportedError: A task cannot be trained within another; some say so as the network is made.
        HParamError: The lengths do not go together.
    """
    _check_lengths(estimator, total_length, unroll_length)
    several = _Several(inner, learned, total_length)
    by_task = [
        persistent_es(training, num_problems=num_problems, total_length=total_length, std=std)
        for training in several.trainings
    ]
    return Task(
        name=name,
        family="meta",
        dataset=several.spec,
        batch_size=max(task.batch_size for task in inner),
        batch_dims=(unroll_length, num_problems),
        build=several.theta,
        forward=several.forward,
        loss_fn=lambda loss, _: loss,
        normalize_fn=unchanged,
        estimator=mean_of(by_task, several.batch_of) if estimator == "pes" else backpropagation(),
    )


class _Several:
    """Trainings of several tasks by one optimizer."""

    def __init__(self, inner: Sequence[Task], learned: LearnedOptimizer, num_steps: int) -> None:
        self.trainings = [InnerTraining(_bounded(task), learned, num_steps) for task in inner]
        self.spec = JointSpec(parts=tuple(task.dataset for task in inner))

    def theta(self) -> Theta:
        for training in self.trainings:
            training.prepare()
        return Theta(self.trainings[0])

    def batch_of(self, number: int, batch: Batch) -> Batch:
        """Return the batch of a task, (steps, problems, its batch size, ...)."""
        size = self.trainings[number].task.batch_size
        return {name: field[:, :, :size] for name, field in self.spec.batch_of(number, batch).items()}

    def forward(self, model: Model, batch: Batch, key: Tensor | None) -> Tensor:
        """Return the mean loss of trainings that begin with the batch, ()."""
        key = draw_key(next(iter(batch.values())).device) if key is None else key
        theta: Params = model()
        losses = [
            training.mean_loss_of_problems(theta, self.batch_of(number, batch), fold_in(key, number))
            for number, training in enumerate(self.trainings)
        ]
        return torch.stack(losses).mean()


def _bounded(task: Task) -> Task:
    def normalize(loss: Tensor) -> Tensor:
        normalized = task.normalize_fn(torch.where(loss.isnan(), torch.inf, loss))
        return normalized.nan_to_num(_MOST_LOSS).clamp(max=_MOST_LOSS)

    return replace(task, normalize_fn=normalize)


def _check_lengths(estimator: str, total_length: int, unroll_length: int) -> None:
    steps, piece = f"`{parameter('inner-steps')}`", f"`{parameter('piece')}`"
    if estimator == "unroll" and unroll_length != total_length:
        raise HParamError(
            f"{piece} must be all of {steps} with unroll: needed {total_length}, got {unroll_length}; leave "
            "it out"
        )
    if estimator == "pes" and total_length < 2:
        raise HParamError(f"{steps} must be at least 2 with pes (got {total_length})")
    if estimator == "pes" and not 2 <= unroll_length <= total_length:
        raise HParamError(f"{piece} must be from 2 to {steps}, {total_length} (got {unroll_length})")
