"""Classical optimizers whose hyperparameters are learned."""

from __future__ import annotations

import math

import torch

from optsuite._types import Params
from optsuite.optimizers._adam import adam
from optsuite.optimizers._base import LearnedOptimizer, Optimizer
from optsuite.optimizers._domains import FRACTION, POSITIVE, check_value
from optsuite.optimizers._sgd import sgd, sgdm


def learnable_sgd(*, initial_lr: float = 0.01) -> LearnedOptimizer:
    """Make SGD with a learned learning rate, exp(theta["log_lr"]).

    Args:
        initial_lr: > 0.

    Raises:
        HParamError: An argument is out of range.

    Source: learned_optimization, `learned_optimizers/base.py: LearnableSGD`.

    Example:
        >>> learned = learnable_sgd(initial_lr=0.1)
        >>> opt = learned.optimizer(learned.init())
    """
    check_value("LearnableSGD", "initial_lr", initial_lr, POSITIVE)
    return LearnedOptimizer(
        lambda: _scalars(log_lr=math.log(initial_lr)), lambda theta: sgd(theta["log_lr"].exp())
    )


def learnable_sgdm(*, initial_lr: float = 0.01, initial_momentum: float = 0.9) -> LearnedOptimizer:
    """Make SGD with momentum, of which the learning rate and 1 - momentum are learned as logarithms.

    Args:
        initial_lr: > 0.
        initial_momentum: In [0, 1).

    Raises:
        HParamError: An argument is out of range.

    Source: learned_optimization, `learned_optimizers/base.py: LearnableSGDM`.

    Example:
        >>> learned = learnable_sgdm(initial_momentum=0.5)
        >>> opt = learned.optimizer(learned.init())
    """
    check_value("LearnableSGDM", "initial_lr", initial_lr, POSITIVE)
    check_value("LearnableSGDM", "initial_momentum", initial_momentum, FRACTION)

    def optimizer(theta: Params) -> Optimizer:
        return sgdm(theta["log_lr"].exp(), momentum=1 - theta["one_minus_momentum"].exp())

    return LearnedOptimizer(
        lambda: _scalars(log_lr=math.log(initial_lr), one_minus_momentum=math.log(1 - initial_momentum)),
        optimizer,
    )


def learnable_adam(
    *,
    initial_lr: float = 0.001,
    initial_beta1: float = 0.9,
    initial_beta2: float = 0.999,
    initial_epsilon: float = 1e-8,
) -> LearnedOptimizer:
    """Make Adam, of which the learning rate, 1 - beta1, 1 - beta2 and epsilon are learned as logarithms.

    The epsilon under the root stays at 1e-8.

    Args:
        initial_lr: > 0.
        initial_beta1: In [0, 1).
        initial_beta2: In [0, 1).
        initial_epsilon: > 0.

    Raises:
        HParamError: An argument is out of range.

    Source: learned_optimization, `learned_optimizers/base.py: LearnableAdam`.

    Example:
        >>> learned = learnable_adam(initial_lr=0.01)
        >>> opt = learned.optimizer(learned.init())
    """
    for name, value in {"initial_lr": initial_lr, "initial_epsilon": initial_epsilon}.items():
        check_value("LearnableAdam", name, value, POSITIVE)
    for name, value in {"initial_beta1": initial_beta1, "initial_beta2": initial_beta2}.items():
        check_value("LearnableAdam", name, value, FRACTION)

    def init() -> Params:
        return _scalars(
            log_epsilon=math.log(initial_epsilon),
            log_lr=math.log(initial_lr),
            one_minus_beta1=math.log(1 - initial_beta1),
            one_minus_beta2=math.log(1 - initial_beta2),
        )

    def optimizer(theta: Params) -> Optimizer:
        return adam(
            theta["log_lr"].exp(),
            beta1=1 - theta["one_minus_beta1"].exp(),
            beta2=1 - theta["one_minus_beta2"].exp(),
            eps=theta["log_epsilon"].exp(),
        )

    return LearnedOptimizer(init, optimizer)


def _scalars(**values: float) -> Params:
    return {name: torch.tensor(value) for name, value in values.items()}
