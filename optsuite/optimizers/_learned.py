"""The table of learned optimizers: their kinds by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from optsuite.errors import HParamError, UnknownNameError, in_words
from optsuite.optimizers._adafac_mlp_lopt import adafac_mlp_lopt
from optsuite.optimizers._base import LearnedOptimizer
from optsuite.optimizers._learnable import learnable_adam, learnable_sgd, learnable_sgdm
from optsuite.optimizers._mlp_lopt import mlp_lopt

LEARNED_OPTIMIZERS: dict[str, Callable[..., LearnedOptimizer]] = {
    "AdafacMLPLOpt": adafac_mlp_lopt,
    "LearnableAdam": learnable_adam,
    "LearnableSGD": learnable_sgd,
    "LearnableSGDM": learnable_sgdm,
    "MLPLOpt": mlp_lopt,
}
"""The factories of learned optimizers, by kind; their arguments are the architecture."""


def get_learned_optimizer(kind: str, /, **architecture: float) -> LearnedOptimizer:
    """Make a learned optimizer by the name of its kind.

    Args:
        kind: A key of `LEARNED_OPTIMIZERS`.
        architecture: Arguments of its factory.

    Raises:
        UnknownNameError: There is no such kind.
        HParamError: The factory has no such argument, or one is out of range.

    Example:
        >>> learned = get_learned_optimizer("AdafacMLPLOpt", hidden_size=8)
    """
    factory = _factory(kind)
    try:
        return factory(**architecture)
    except TypeError as error:
        raise HParamError(f"`{kind}` cannot be made ({in_words(error)})") from error


def default_architecture(kind: str) -> dict[str, float]:
    """Return all arguments of a kind's factory, by name, with their defaults.

    Args:
        kind: A key of `LEARNED_OPTIMIZERS`.

    Raises:
        UnknownNameError: There is no such kind.

    Example:
        >>> default_architecture("LearnableSGD")
        {'initial_lr': 0.01}
    """
    return {name: one.default for name, one in inspect.signature(_factory(kind)).parameters.items()}


def _factory(kind: str) -> Callable[..., LearnedOptimizer]:
    if kind not in LEARNED_OPTIMIZERS:
        raise UnknownNameError("learned optimizer", kind, LEARNED_OPTIMIZERS)
    return LEARNED_OPTIMIZERS[kind]
