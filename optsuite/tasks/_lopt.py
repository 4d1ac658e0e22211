"""Tasks whose parameters are those of a learned optimizer, and whose loss is how well it trains another task.

Source: learned_optimization, `tasks/fixed/lopt.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor, nn

from optsuite._types import Batch, Params
from optsuite.gradients import antithetic_es, persistent_es
from optsuite.noise import draw_key
from optsuite.optimizers import (
    LearnedOptimizer,
    adafac_mlp_lopt,
    learnable_adam,
    mlp_lopt,
)
from optsuite.tasks._conv import CONV_TASKS
from optsuite.tasks._image_mlp import IMAGE_MLP_TASKS
from optsuite.tasks._inner import InnerTraining
from optsuite.tasks._task import Model, Task, unchanged

_INNER = {task.name: task for task in (*IMAGE_MLP_TASKS, *CONV_TASKS)}


class Theta(nn.Module):
    """The parameters of a learned optimizer; called, it gives them by name."""

    def __init__(self, training: InnerTraining) -> None:
        super().__init__()
        training.prepare()
        for name, tensor in training.learned.init().items():
            self.register_parameter(name, nn.Parameter(tensor))
        # Their weights are (inputs, outputs), layer by layer.
        weights = [name for name, tensor in self.named_parameters() if tensor.ndim == 2]
        self.roles = {weights[0]: "input", weights[-1]: "output"} if weights else {}

    def forward(self) -> Params:
        """Return the parameters, which may be given from outside."""
        return dict(self.named_parameters())


def unrolled(name: str, inner: Task, learned: LearnedOptimizer, num_steps: int) -> Task:
    """Make a task of whole inner trainings: its loss is the mean of their normalised losses.

    Every loss trains a network from fresh parameters, on a fresh batch at each step.

    Args:
        name: Name of the task.
        inner: The task that is trained.
        learned: The kind of optimizer.
        num_steps: Number of inner steps.
    """
    training = InnerTraining(inner, learned, num_steps)
    return _task(name, training, (num_steps,), training.mean_loss)


def persistent(
    name: str,
    inner: Task,
    learned: LearnedOptimizer,
    *,
    num_problems: int,
    total_length: int,
    unroll_length: int,
) -> Task:
    """Make a task of pieces of inner trainings, whose gradient is that of persistent evolution strategies.

    Its loss itself, of which only callers of `Task.loss` see anything, is that of trainings which begin with
    the batch; training and evaluation record the losses of those that go on from step to step.

    Args:
        name: Name of the task.
        inner: The task that is trained.
        learned: The kind of optimizer.
        num_problems: Number of inner trainings side by side.
        total_length: Number of their steps.
        unroll_length: Number of inner steps in a step of this task.
    """
    training = InnerTraining(inner, learned, total_length)
    task = _task(name, training, (unroll_length, num_problems), training.mean_loss_of_problems)
    estimator = persistent_es(training, num_problems=num_problems, total_length=total_length)
    return replace(task, estimator=estimator, normalize_fn=unchanged)


def _task(
    name: str,
    training: InnerTraining,
    batch_dims: tuple[int, ...],
    loss: Callable[[Params, Batch, Tensor], Tensor],
) -> Task:
    def forward(model: Model, batch: Batch, key: Tensor | None) -> Tensor:
        if key is None:
            key = draw_key(next(iter(batch.values())).device)
        return loss(model(), batch, key)

    return Task(
        name=name,
        family="lopt",
        dataset=training.task.dataset,
        batch_size=training.task.batch_size,
        batch_dims=batch_dims,
        build=lambda: Theta(training),
        forward=forward,
        loss_fn=lambda loss, _: loss,
        normalize_fn=training.task.normalize_fn,
    )


def _unrolled(name: str, inner_name: str, learned: LearnedOptimizer, num_steps: int) -> Task:
    return unrolled(name, _INNER[inner_name], learned, num_steps)


def _es(name: str, inner: Task) -> Task:
    return replace(inner, name=name, estimator=antithetic_es(4, std=0.01))


def _pes(dataset: str, num_problems: int, total_length: int, unroll_length: int) -> Task:
    name = f"LOptPES_Adafac_{dataset}_OuterBS{num_problems}_Length{total_length}_Trunc{unroll_length}"
    return persistent(
        name,
        _INNER[_PES_INNER[dataset]],
        adafac_mlp_lopt(),
        num_problems=num_problems,
        total_length=total_length,
        unroll_length=unroll_length,
    )


_FASHION, _CIFAR_8, _CIFAR_16 = (
    "ImageMLP_FashionMnist8_Relu32",
    "Conv_Cifar10_8_16x32",
    "Conv_Cifar10_16_32x64x64",
)
_PES_INNER = {"Fashion": _FASHION, "Cifar": "ImageMLP_Cifar10BW8_Relu32"}
_PES_SIZES = ((16, 50, 10), (16, 200, 10), (8, 50, 5), (4, 50, 10), (4, 50, 5))

_MLP_FASHION_50 = _unrolled("LOpt_MLPLOpt_FahionMnist_50", _FASHION, mlp_lopt(), 50)
_MLP_CIFAR_16 = _unrolled("LOpt_MLPLOpt_Cifar10_16_10", _CIFAR_16, mlp_lopt(), 10)
_ADAFAC_FASHION_20 = _unrolled("LOpt_AdafacMLPLOpt_FashionMnist_20", _FASHION, adafac_mlp_lopt(), 20)

LOPT_TASKS = (
    # The names are the reference's, misspelt ones too.
    _unrolled("LOpt_MLPLOpt_FahionMnist_100", _FASHION, mlp_lopt(), 100),
    _MLP_FASHION_50,
    _unrolled("LOpt_MLPLOpt_FahionMnist_10", _FASHION, mlp_lopt(), 10),
    _MLP_CIFAR_16,
    _unrolled("LOpt_MLPLOpt_Cifar10_8_50", _CIFAR_8, mlp_lopt(), 50),
    _unrolled("LOpt_AdafacMLPLOpt_Cifar10_8_10", _CIFAR_8, adafac_mlp_lopt(), 10),
    _unrolled("LOpt_AdafacMLPLOpt_FashionMnist_50", _FASHION, adafac_mlp_lopt(), 50),
    _ADAFAC_FASHION_20,
    _unrolled("LOpt_LearnableAdam_Cifar10_8_50", _CIFAR_8, learnable_adam(), 50),
    _unrolled("LOpt_LearnableAdam_Cifar10_8_200", _CIFAR_8, learnable_adam(), 200),
    _es("LOpt_ES4_AdafacMLPLOpt_FashionMnist_20", _ADAFAC_FASHION_20),
    _es("LOpt_ES4_LOpt_MLPLOpt_FahionMnist_50", _MLP_FASHION_50),
    _es("LOpt_ES4_LOpt_MLPLOpt_Cifar10_16_10", _MLP_CIFAR_16),
    *(_pes(dataset, *sizes) for dataset in _PES_INNER for sizes in _PES_SIZES),
)
