"""The table of optimizers by name, and the check of their hyperparameters."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from optsuite.errors import HparamError, UnknownNameError
from optsuite.optimizers._adagrad import adagrad
from optsuite.optimizers._adam import adam
from optsuite.optimizers._adam_exp_decay_lr import adam_exp_decay_lr
from optsuite.optimizers._adam_sqrt_decay_lr import adam_sqrt_decay_lr
from optsuite.optimizers._adamw import adamw
from optsuite.optimizers._radam import radam
from optsuite.optimizers._rmsprop import rmsprop
from optsuite.optimizers._sgd import sgd
from optsuite.optimizers._sgdm import sgdm

if TYPE_CHECKING:
    from optsuite.optimizers._base import Optimizer

HparamValue = float | bool | str | Tensor


class Domain(NamedTuple):
    """The values that a hyperparameter may take."""

    words: str  # completes "must be ..."
    holds: Callable[[object], bool]  # asked for Python values only
    may_be_tensor: bool


def _number(words: str, holds: Callable[[float], bool]) -> Domain:
    def is_valid(value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, float | int):
            return False
        return math.isfinite(value) and holds(value)

    return Domain(words, is_valid, may_be_tensor=True)


_NON_NEGATIVE = _number("a finite number >= 0", lambda value: value >= 0)
_POSITIVE = _number("a finite number > 0", lambda value: value > 0)
_FRACTION = _number("a number in [0, 1)", lambda value: 0 <= value < 1)
_BOOL = Domain("True or False", lambda value: isinstance(value, bool), may_be_tensor=False)

# A name means the same in every optimizer.
_DOMAINS = {
    "alpha": _FRACTION,
    "beta1": _FRACTION,
    "beta2": _FRACTION,
    "decay": _FRACTION,
    "eps": _POSITIVE,
    "eps_root": _NON_NEGATIVE,
    "initial_accumulator_value": _NON_NEGATIVE,
    "lr": _NON_NEGATIVE,
    "momentum": _FRACTION,
    "nesterov": _BOOL,
    "warmup_steps": _POSITIVE,
    "weight_decay": _NON_NEGATIVE,
}


class Hparam(NamedTuple):
    """A hyperparameter that can be set by name."""

    default: float | bool | None  # None: it must be given
    domain: Domain


class OptimizerRow(NamedTuple):
    """A row of the table."""

    factory: Callable[..., Optimizer]
    hparams: Mapping[str, Hparam]


def _row(factory: Callable[..., Optimizer]) -> OptimizerRow:
    """Read the names and defaults off the factory's signature."""
    parameters = inspect.signature(factory).parameters.values()
    return OptimizerRow(
        factory,
        {p.name: Hparam(None if p.default is p.empty else p.default, _DOMAINS[p.name]) for p in parameters},
    )


OPTIMIZERS: dict[str, OptimizerRow] = {
    "AdaGrad": _row(adagrad),
    "Adam": _row(adam),
    "AdamExpDecayLR": _row(adam_exp_decay_lr),
    "AdamSqrtDecayLR": _row(adam_sqrt_decay_lr),
    "AdamW": _row(adamw),
    "RAdam": _row(radam),
    "RMSProp": _row(rmsprop),
    "SGD": _row(sgd),
    "SGDM": _row(sgdm),
}
"""Every optimizer that can be asked for by name."""


def list_optimizers() -> list[str]:
    """Give the names that `get_optimizer` accepts, sorted.

    Example:
        >>> "Adam" in list_optimizers()
        True
    """
    return sorted(OPTIMIZERS)


def get_optimizer(name: str, /, **hparams: HparamValue) -> Optimizer:
    """Make an optimizer by name.

    Args:
        name: One of `list_optimizers()`.
        hparams: Python values, or 0-d tensors in place of numbers, which may be out of range
            unnoticed: looking at them would wait for the device. For a schedule in place of `lr`
            call the factory itself: `adam(lr=schedule)`.

    Raises:
        UnknownNameError: There is no such optimizer.
        HparamError: A hyperparameter is unknown, missing, of the wrong type or out of range.

    Example:
        >>> opt = get_optimizer("Adam", lr=1e-3)
    """
    check_hparams(name, hparams)
    return OPTIMIZERS[name].factory(**hparams)


def check_hparams(name: str, hparams: Mapping[str, HparamValue]) -> None:
    """Check hyperparameters without making the optimizer.

    Args:
        name: One of `list_optimizers()`.
        hparams: As for `get_optimizer`.

    Raises:
        UnknownNameError: There is no such optimizer.
        HparamError: A hyperparameter is unknown, missing, of the wrong type or out of range.

    Example:
        >>> check_hparams("Adam", {"lr": 1e-3})
    """
    if name not in OPTIMIZERS:
        raise UnknownNameError("optimizer", name, OPTIMIZERS)
    known = OPTIMIZERS[name].hparams
    for key, value in hparams.items():
        if key not in known:
            raise HparamError(f"`{name}` has no hyperparameter `{key}`: it has {', '.join(known)}")
        _check_value(name, key, value, known[key].domain)
    for key, hparam in known.items():
        if hparam.default is None and key not in hparams:
            raise HparamError(f"`{name}` needs `{key}`: {hparam.domain.words}")


def _check_value(name: str, key: str, value: HparamValue, domain: Domain) -> None:
    if isinstance(value, Tensor) and domain.may_be_tensor:
        if value.ndim != 0:
            raise HparamError(
                f"`{key}` of `{name}` must be {domain.words} or a 0-d tensor, "
                f"got a tensor of shape {tuple(value.shape)}; use torch.vmap for many values"
            )
    elif isinstance(value, Tensor) or not domain.holds(value):
        raise HparamError(
            f"`{key}` of `{name}` must be {domain.words}, got {value!r} ({type(value).__name__})"
        )
