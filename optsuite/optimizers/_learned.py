"""The table of learned optimizers: their kinds by name."""

from __future__ import annotations

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
        HParamError: The factory has no such argument.

    Example:
        >>> learned = get_learned_optimizer("AdafacMLPLOpt", hidden_size=8)
    """
    if kind not in LEARNED_OPTIMIZERS:
        raise UnknownNameError("learned optimizer", kind, LEARNED_OPTIMIZERS)
    try:
        return LEARNED_OPTIMIZERS[kind](**architecture)
    except TypeError as error:
        raise HParamError(f"`{kind}` cannot be made ({in_words(error)})") from error
