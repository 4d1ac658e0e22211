"""The values that hyperparameters may take, by their names."""

from __future__ import annotations

import inspect
import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeGuard, get_args

import numpy as np
from torch import Tensor

from optsuite.errors import HParamError
from optsuite.optimizers._horizon import DecayShape
from optsuite.optimizers._muon import Scaling
from optsuite.optimizers._opt_list import NUM_ENTRIES
from optsuite.optimizers._shampoo import GraftType

HparamValue: TypeAlias = float | bool | str | Tensor | Sequence[float | bool | str | Tensor]
"""A hyperparameter: a number, a bool, a word, a 0-d tensor in place of a number, or a tuple of these."""


class Domain(NamedTuple):
    """The values that a hyperparameter may take."""

    words: str
    """Words that complete "must be ..."."""
    holds: Callable[[object], bool]
    """Whether a Python value is one of them; never asked about tensors."""
    may_be_tensor: bool
    """Whether a 0-d tensor may stand in place of the number, so that it can differ between trials."""


def _is_finite(value: float) -> bool:
    return abs(value) <= sys.float_info.max  # an int may be too large for a float


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, float | int) and not isinstance(value, bool) and _is_finite(value)


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(words: str, holds: Callable[[float], bool]) -> Domain:
    return Domain(words, lambda value: _is_number(value) and holds(value), may_be_tensor=True)


def _integer(words: str, holds: Callable[[int], bool]) -> Domain:
    return Domain(words, lambda value: _is_integer(value) and holds(value), may_be_tensor=False)


def _tuple(words: str, holds: Callable[[Sequence[object]], bool]) -> Domain:
    def is_valid(value: object) -> bool:
        return isinstance(value, tuple | list) and len(value) > 0 and holds(value)

    return Domain(words, is_valid, may_be_tensor=False)


def _choice(*words: str) -> Domain:
    return Domain(f"one of {', '.join(words)}", lambda value: value in words, may_be_tensor=False)


NON_NEGATIVE = _number("a finite number >= 0", lambda value: value >= 0)
POSITIVE = _number("a finite number > 0", lambda value: value > 0)
POSITIVE_FRACTION = _number("a number in (0, 1)", lambda value: 0 < value < 1)
POSITIVE_SHARE = _number("a number in (0, 1]", lambda value: 0 < value <= 1)
FRACTION = _number("a number in [0, 1)", lambda value: 0 <= value < 1)
SHARE = _number("a number in [0, 1]", lambda value: 0 <= value <= 1)
SIZE = _integer("an integer >= 1", lambda value: value >= 1)
BOOL = Domain("True or False", lambda value: isinstance(value, bool), may_be_tensor=False)


def _is_rate(value: object) -> bool:
    return isinstance(value, Tensor) or NON_NEGATIVE.holds(value)


def _is_growth(value: object) -> bool:
    return value == float("inf") or (_is_number(value) and value >= 1)


def _is_rising(values: Sequence[Any]) -> bool:
    return all(map(NON_NEGATIVE.holds, values)) and all(a < b for a, b in itertools.pairwise(values))


def _is_plain(value: object) -> bool:
    if isinstance(value, float | int):
        return _is_finite(value)
    return isinstance(value, str)


def _is_argument(value: object) -> bool:
    return all(map(_is_plain, value)) if isinstance(value, tuple) else _is_plain(value)


# For hyperparameters that no optimizer of this package has.
PLAIN = Domain("a finite number, True, False or a word", _is_plain, may_be_tensor=True)
# For the theta of learned optimizers.
CHECKPOINT = Domain(
    "the path or URL of a checkpoint",
    lambda value: isinstance(value, str) and value != "",
    may_be_tensor=False,
)
# For the arguments of classes.
ARGUMENT = Domain(f"{PLAIN.words}, or a tuple of these", _is_argument, may_be_tensor=False)

# A name means the same in every optimizer, but where its row in the table says otherwise.
DOMAINS = {
    **dict.fromkeys(("alpha", "beta1", "beta2", "beta3", "decay", "ema_decay", "momentum"), FRACTION),
    **dict.fromkeys(("constant_fraction", "warmup_fraction"), FRACTION),
    **dict.fromkeys(("d0", "d_coef"), POSITIVE),
    **dict.fromkeys(("gamma", "slow_warmup"), NON_NEGATIVE),
    **dict.fromkeys(("clipping_threshold", "decay_rate", "eps", "min_norm", "warmup_steps"), POSITIVE),
    **dict.fromkeys(("eps_root", "initial_accumulator_value", "lr", "trust_coefficient"), NON_NEGATIVE),
    **dict.fromkeys(("l2_weight_decay", "weight_decay"), NON_NEGATIVE),
    **dict.fromkeys(("block_size", "min_dim_size_to_factor"), SIZE),
    "decay_fraction": POSITIVE_SHARE,
    "decay_shape": _choice(*get_args(DecayShape)),
    "final_fraction": SHARE,
    "growth_rate": Domain("a number >= 1, or inf", _is_growth, may_be_tensor=True),
    **dict.fromkeys(("max_precondition_dim", "precondition_frequency"), SIZE),
    "adam_lr_ratio": NON_NEGATIVE,
    "graft_type": _choice(*get_args(GraftType)),
    "idx": _integer(f"an integer from 0 to {NUM_ENTRIES - 1}", lambda value: 0 <= value < NUM_ENTRIES),
    "lrs": _tuple("a tuple of finite numbers >= 0", lambda values: all(map(_is_rate, values))),
    "max_norm": POSITIVE,
    "min_lr_mult": SHARE,
    "nesterov": BOOL,
    "num_average": _number("a whole number >= 1", lambda value: value >= 1 and value == int(value)),
    "scaling": _choice(*get_args(Scaling)),
    "times": _tuple("a tuple of rising numbers >= 0", _is_rising),
}


def plain(hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Turn NumPy's numbers among hyperparameters into Python's of the same value, in tuples and lists too.

    So `np.float32(0.1)` becomes 0.10000000149011612, the number that it holds, and not 0.1.

    Args:
        hparams: Hyperparameters by name.

    Example:
        >>> import numpy as np
        >>> plain({"lr": np.float32(0.5), "nesterov": np.True_, "betas": (np.float64(0.9), 0.99)})
        {'lr': 0.5, 'nesterov': True, 'betas': (0.9, 0.99)}
    """
    return {name: _without_numpy(value) for name, value in hparams.items()}


def _without_numpy(value: object) -> object:
    if type(value) is tuple:
        return tuple(map(_without_numpy, value))
    if type(value) is list:
        return list(map(_without_numpy, value))
    return value.item() if isinstance(value, np.generic) else value


def check_value(name: str, key: str, value: HparamValue, domain: Domain) -> None:
    """Refuse a value outside its domain.

    Args:
        name: The optimizer's, for the message.
        key: The hyperparameter's name.
        value: What was given.
        domain: What is allowed.

    Raises:
        HParamError: The value is outside; the message says what is needed and what came.
    """
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


class Hparam(NamedTuple):
    """A hyperparameter of an optimizer of pure functions."""

    default: object
    """Value where none is given; `inspect.Parameter.empty` if one must be given."""
    domain: Domain

    @property
    def is_required(self) -> bool:
        """Whether it must be given."""
        return self.default is inspect.Parameter.empty


def hparam_of(parameter: inspect.Parameter, own: Mapping[str, Domain]) -> Hparam:
    """Read a hyperparameter off an argument of a factory.

    Args:
        parameter: The argument.
        own: Domains that replace those of `DOMAINS`, by name.
    """
    # A default that is a switch, a word or a size says that its values decide which operations run.
    may_be_tensor = parameter.default is parameter.empty or isinstance(parameter.default, float)
    unknown = PLAIN._replace(may_be_tensor=may_be_tensor)
    return Hparam(parameter.default, {**DOMAINS, **own}.get(parameter.name, unknown))


def check_all(
    known: Mapping[str, Hparam],
    together: Callable[..., object],
    name: str,
    hparams: Mapping[str, HparamValue],
) -> None:
    """Check hyperparameters of pure functions.

    Args:
        known: Those that the optimizer has.
        together: Raises for hyperparameters that are good one by one but not together; `dict` takes any.
        name: The optimizer's, for messages.
        hparams: What was given.

    Raises:
        HParamError: One is unknown, missing, of the wrong type or out of range.
    """
    for key, value in hparams.items():
        if key not in known:
            raise HParamError(f"`{name}` has no hyperparameter `{key}`: it has {', '.join(known)}")
        check_value(name, key, value, known[key].domain)
    for key, hparam in known.items():
        if hparam.is_required and key not in hparams:
            raise HParamError(f"`{name}` needs `{key}`: {hparam.domain.words}")
    together(**hparams)
