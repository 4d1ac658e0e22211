"""The table of optimizers by name, and the check of their hyperparameters."""

from __future__ import annotations

import inspect
import itertools
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from torch import Tensor

from optsuite.errors import HParamError, OptsuiteError, UnknownNameError
from optsuite.optimizers._accumulate import accumulate
from optsuite.optimizers._adabelief import adabelief
from optsuite.optimizers._adafactor import adafactor
from optsuite.optimizers._adagrad import adagrad
from optsuite.optimizers._adam import adam
from optsuite.optimizers._adam_exp_decay_lr import adam_exp_decay_lr
from optsuite.optimizers._adam_sqrt_decay_lr import adam_sqrt_decay_lr
from optsuite.optimizers._adamw import adamw
from optsuite.optimizers._fromage import fromage
from optsuite.optimizers._import_path import check_arguments, is_import_path
from optsuite.optimizers._lamb import lamb
from optsuite.optimizers._lars import lars
from optsuite.optimizers._nadamw import nadamw
from optsuite.optimizers._nadamw_cosine_lr import nadamw_cosine_lr
from optsuite.optimizers._opt_list import NUM_SETTINGS, opt_list
from optsuite.optimizers._piecewise_linear_adam import piecewise_linear_adam
from optsuite.optimizers._radam import radam
from optsuite.optimizers._rmsprop import rmsprop
from optsuite.optimizers._sgd import sgd
from optsuite.optimizers._sgdm import sgdm
from optsuite.optimizers._shampoo import GraftType, shampoo, shampoo_flops
from optsuite.optimizers._sm3 import sm3
from optsuite.optimizers._yogi import yogi

if TYPE_CHECKING:
    from optsuite.optimizers._base import Optimizer, Scalar

HparamValue = float | bool | str | Tensor | Sequence[float | bool | str | Tensor]


class Domain(NamedTuple):
    """The values that a hyperparameter may take."""

    words: str  # completes "must be ..."
    holds: Callable[[object], bool]  # asked for Python values only
    may_be_tensor: bool


def _is_finite(value: float) -> bool:
    return abs(value) <= sys.float_info.max  # an int may be too large for a float


def _number(words: str, holds: Callable[[float], bool]) -> Domain:
    def is_valid(value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, float | int):
            return False
        return _is_finite(value) and holds(value)

    return Domain(words, is_valid, may_be_tensor=True)


def _integer(words: str, holds: Callable[[int], bool]) -> Domain:
    def is_valid(value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and holds(value)

    return Domain(words, is_valid, may_be_tensor=False)


def _tuple(words: str, holds: Callable[[Sequence[object]], bool]) -> Domain:
    def is_valid(value: object) -> bool:
        return isinstance(value, tuple | list) and len(value) > 0 and holds(value)

    return Domain(words, is_valid, may_be_tensor=False)


def _choice(*words: str) -> Domain:
    return Domain(f"one of {', '.join(words)}", lambda value: value in words, may_be_tensor=False)


_NON_NEGATIVE = _number("a finite number >= 0", lambda value: value >= 0)
_POSITIVE = _number("a finite number > 0", lambda value: value > 0)
_FRACTION = _number("a number in [0, 1)", lambda value: 0 <= value < 1)
_SHARE = _number("a number in [0, 1]", lambda value: 0 <= value <= 1)
_BOOL = Domain("True or False", lambda value: isinstance(value, bool), may_be_tensor=False)


def _is_rate(value: object) -> bool:
    return isinstance(value, Tensor) or _NON_NEGATIVE.holds(value)


def _is_rising(values: Sequence[Any]) -> bool:
    return all(map(_NON_NEGATIVE.holds, values)) and all(a < b for a, b in itertools.pairwise(values))


def _is_plain(value: object) -> bool:
    if isinstance(value, float | int):
        return _is_finite(value)
    return isinstance(value, str)


def _is_argument(value: object) -> bool:
    return all(map(_is_plain, value)) if isinstance(value, tuple) else _is_plain(value)


# Of names that no optimizer of this package has, and of the arguments of classes.
_PLAIN = Domain("a finite number, True, False or a word", _is_plain, may_be_tensor=True)
_ARGUMENT = Domain(f"{_PLAIN.words}, or a tuple of these", _is_argument, may_be_tensor=False)

# A name means the same in every optimizer, up to its ends.
_DOMAINS = {
    "alpha": _FRACTION,
    "beta1": _FRACTION,
    "beta2": _FRACTION,
    "block_size": _integer("an integer >= 1", lambda value: value >= 1),
    "clipping_threshold": _POSITIVE,
    "constant_fraction": _FRACTION,
    "decay": _FRACTION,
    "decay_rate": _POSITIVE,
    "eps": _POSITIVE,
    "eps_root": _NON_NEGATIVE,
    "graft_type": _choice(*get_args(GraftType)),
    "idx": _integer(f"an integer from 0 to {NUM_SETTINGS - 1}", lambda value: 0 <= value < NUM_SETTINGS),
    "initial_accumulator_value": _NON_NEGATIVE,
    "l2_weight_decay": _NON_NEGATIVE,
    "lr": _NON_NEGATIVE,
    "lrs": _tuple("a tuple of finite numbers >= 0", lambda values: all(map(_is_rate, values))),
    "min_dim_size_to_factor": _integer("an integer >= 1", lambda value: value >= 1),
    "min_lr_mult": _SHARE,
    "min_norm": _POSITIVE,
    "momentum": _FRACTION,
    "nesterov": _BOOL,
    "num_average": _number("a whole number >= 1", lambda value: value >= 1 and value == int(value)),
    "times": _tuple("a tuple of rising numbers >= 0", _is_rising),
    "trust_coefficient": _NON_NEGATIVE,
    "warmup_fraction": _FRACTION,
    "warmup_steps": _POSITIVE,
    "weight_decay": _NON_NEGATIVE,
}


class Hparam(NamedTuple):
    """A hyperparameter that can be set by name."""

    default: object  # `inspect.Parameter.empty`: it must be given
    domain: Domain

    @property
    def is_required(self) -> bool:
        """Whether it must be given."""
        return self.default is inspect.Parameter.empty


def _no_flops(*_: object, **__: object) -> int:
    return 0


class OptimizerRow(NamedTuple):
    """A row of the table."""

    factory: Callable[..., Optimizer]
    hparams: Mapping[str, Hparam]
    # Of an update, beyond some passes over the parameters, from their shapes and the hyperparameters.
    flops: Callable[..., int] = _no_flops
    # Raises for hyperparameters that are good one by one and not together; `dict` takes any.
    check: Callable[..., object] = dict
    # Whether compiled steps may write over parameters and state: an update hands none of it on to another
    # place, not as a clone either, since the compiler drops that and reads what has been written over.
    is_overwritable: bool = True


def _row(factory: Callable[..., Optimizer], **own_domains: Domain) -> OptimizerRow:
    """Read the names and defaults off the factory's signature."""
    domains = _DOMAINS | own_domains
    parameters = inspect.signature(factory).parameters.values()
    return OptimizerRow(factory, {p.name: Hparam(p.default, _domain(p, domains)) for p in parameters})


def _domain(parameter: inspect.Parameter, known: Mapping[str, Domain]) -> Domain:
    # A default that is a switch, a word or a size says that its values decide which operations run.
    may_be_tensor = parameter.default is parameter.empty or isinstance(parameter.default, float)
    return known.get(parameter.name, _PLAIN._replace(may_be_tensor=may_be_tensor))


def _accumulated(row: OptimizerRow) -> OptimizerRow:
    """The optimizer of another row, run on the means of `num_average` gradients."""

    def factory(*, num_average: Scalar = 1, **hparams: HparamValue) -> Optimizer:
        return accumulate(row.factory(**hparams), num_average)

    return OptimizerRow(factory, {**row.hparams, "num_average": Hparam(1, _DOMAINS["num_average"])})


OPTIMIZERS: dict[str, OptimizerRow] = {
    "AdaBelief": _row(adabelief),
    "AdaGrad": _row(adagrad),
    "Adafactor": _row(adafactor),
    "Adam": _row(adam),
    "AdamExpDecayLR": _row(adam_exp_decay_lr),
    "AdamGradAccum": _accumulated(_row(adam)),
    "AdamSqrtDecayLR": _row(adam_sqrt_decay_lr),
    "AdamW": _row(adamw),
    "Fromage": _row(fromage),
    "Lamb": _row(lamb),
    "Lars": _row(lars),
    "NAdamW": _row(nadamw),
    "NAdamWCosineLR": _row(nadamw_cosine_lr),
    "OptList": _row(opt_list),
    "PiecewiseLinearAdam": _row(piecewise_linear_adam)._replace(check=piecewise_linear_adam),
    "RAdam": _row(radam),
    "RMSProp": _row(rmsprop),
    "SGD": _row(sgd),
    "SGDGradAccum": _accumulated(_row(sgd)),
    "SGDM": _row(sgdm),
    "SGDMGradAccum": _accumulated(_row(sgdm)),
    "SM3": _row(sm3, beta2=_SHARE),
    "Shampoo": _row(shampoo)._replace(flops=shampoo_flops),
    "Yogi": _row(yogi),
}
"""Every optimizer of pure functions that can be asked for by name."""


def list_optimizers() -> list[str]:
    """Give the names that `get_optimizer` accepts, sorted.

    Example:
        >>> "Adam" in list_optimizers()
        True
    """
    return sorted(OPTIMIZERS)


def register_optimizer(name: str, factory: Callable[..., Optimizer]) -> None:
    """Add an optimizer of your own to the table; it trains as those of this package do.

    Args:
        name: Letters, digits and `_`.
        factory: Gives an `Optimizer` for its hyperparameters, which are its arguments, by name. Numbers
            that differ between trials come as 0-d tensors. A hyperparameter that is called as one of
            this package, such as `beta1`, may take the same values; any other is a finite number, a
            bool or a word.

    Raises:
        OptsuiteError: The name is no word, another optimizer has it, or the factory takes arguments
            without names.

    Example:
        >>> from optsuite.optimizers import chain, scale_by_lr, trace
        >>> def heavy_ball(lr, *, inertia=0.9):
        ...     return chain(trace(inertia), scale_by_lr(lr))
        >>> register_optimizer("HeavyBall", heavy_ball)
        >>> opt = get_optimizer("HeavyBall", lr=0.1, inertia=0.5)
    """
    if not re.fullmatch(r"\w+", name):
        raise OptsuiteError(f"an optimizer's name is made of letters, digits and `_` (got `{name}`)")
    for parameter in inspect.signature(factory).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise OptsuiteError(f"the factory of `{name}` must name its hyperparameters (got `{parameter}`)")
    if OPTIMIZERS.setdefault(name, _row(factory)._replace(is_overwritable=False)).factory is not factory:
        raise OptsuiteError(f"an optimizer `{name}` exists already: choose another name")


def get_optimizer(name: str, /, **hparams: HparamValue) -> Optimizer:
    """Make an optimizer by name.

    Args:
        name: One of `list_optimizers()`.
        hparams: Python values, or 0-d tensors in place of numbers, which may be out of range
            unnoticed: looking at them would wait for the device. For a schedule in place of `lr`
            call the factory itself: `adam(lr=schedule)`.

    Raises:
        UnknownNameError: There is no such optimizer.
        HParamError: A hyperparameter is unknown, missing, of the wrong type or out of range.
        OptsuiteError: It is the import path of a class, which is no pair of pure functions.

    Example:
        >>> opt = get_optimizer("Adam", lr=1e-3)
    """
    check_hparams(name, hparams)
    if is_import_path(name):
        raise OptsuiteError(
            f"`{name}` is a class, whose objects change parameters in place; here are pairs of pure "
            "functions only: name it in a `Config` to train it, or call it yourself"
        )
    return OPTIMIZERS[name].factory(**hparams)


def check_hparams(name: str, hparams: Mapping[str, HparamValue]) -> None:
    """Check hyperparameters before anything is trained.

    Args:
        name: One of `list_optimizers()`, or the import path of a `torch.optim.Optimizer` class, e.g.
            `torch.optim:NAdam` or `path/to/my.py:Mine`.
        hparams: As for `get_optimizer`; of a class, arguments of its constructor.

    Raises:
        UnknownNameError: There is no such optimizer.
        HParamError: A hyperparameter is unknown, missing, of the wrong type or out of range; or the
            import path leads nowhere, or to a class that cannot be used.

    Example:
        >>> check_hparams("Adam", {"lr": 1e-3})
        >>> check_hparams("torch.optim:NAdam", {"lr": 1e-3, "betas": (0.9, 0.99)})
    """
    if is_import_path(name):
        for key, value in hparams.items():
            domain = _NON_NEGATIVE._replace(may_be_tensor=False) if key == "lr" else _ARGUMENT
            _check_value(name, key, value, domain)
        check_arguments(name, hparams)
        return
    if name not in OPTIMIZERS:
        raise UnknownNameError("optimizer", name, OPTIMIZERS)
    known = OPTIMIZERS[name].hparams
    for key, value in hparams.items():
        if key not in known:
            raise HParamError(f"`{name}` has no hyperparameter `{key}`: it has {', '.join(known)}")
        _check_value(name, key, value, known[key].domain)
    for key, hparam in known.items():
        if hparam.is_required and key not in hparams:
            raise HParamError(f"`{name}` needs `{key}`: {hparam.domain.words}")
    OPTIMIZERS[name].check(**hparams)


def _check_value(name: str, key: str, value: HparamValue, domain: Domain) -> None:
    if isinstance(value, Tensor) and domain.may_be_tensor:
        if value.ndim != 0:
            raise HParamError(
                f"`{key}` of `{name}` must be {domain.words} or a 0-d tensor, "
                f"got a tensor of shape {tuple(value.shape)}; use torch.vmap for many values"
            )
    elif isinstance(value, Tensor) or not domain.holds(value):
        raise HParamError(
            f"`{key}` of `{name}` must be {domain.words}, got {value!r} ({type(value).__name__})"
        )
