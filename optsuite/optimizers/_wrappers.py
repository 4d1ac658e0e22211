"""The table of wrappers: what an optimizer's name may end in, as `Adam+cosine+clip`.

Each wraps all that stands to its left, and they are written in the order of the table. So the mean gradient
of `accum` is clipped by `clip`, and `ema` averages what all the others have moved.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from optsuite.errors import HParamError, UnknownNameError
from optsuite.optimizers._accumulate import accumulate
from optsuite.optimizers._averaged import ema
from optsuite.optimizers._base import chain
from optsuite.optimizers._cautious import cautious
from optsuite.optimizers._decayed import decayed
from optsuite.optimizers._domains import (
    POSITIVE_FRACTION,
    POSITIVE_SHARE,
    Domain,
    Hparam,
    check_all,
    hparam_of,
)
from optsuite.optimizers._horizon import (
    warmup_constant,
    warmup_cosine,
    warmup_exponential,
    warmup_linear,
    warmup_sqrt,
    warmup_stable_decay,
)
from optsuite.optimizers._pieces import clip_by_global_norm

if TYPE_CHECKING:
    from optsuite.optimizers._base import LrSchedule, Optimizer, Scalar
    from optsuite.optimizers._domains import HparamValue
    from optsuite.optimizers._table import OptimizerRow


class Wrapper(NamedTuple):
    """Row of the table: what a wrapper makes of an optimizer, or of its learning rate."""

    wrap: Callable[..., Any]
    """Function of the learning rate to a schedule, or of an optimizer and the learning rate to another."""
    is_schedule: bool
    hparams: Mapping[str, Hparam]
    """Hyperparameters of its own; the first, if any, may be in a family's name, as in `_clip10`."""

    @property
    def needs_lr(self) -> bool:
        """Whether the optimizer must take a schedule as its `lr`."""
        return self.is_schedule or self.wrap is _decay


def _wrapper(wrap: Callable[..., Any], *, is_schedule: bool = False, **own: Domain) -> Wrapper:
    parameters = inspect.signature(wrap).parameters.values()
    hparams = {p.name: hparam_of(p, own) for p in parameters if p.kind is p.KEYWORD_ONLY}
    return Wrapper(wrap, is_schedule, hparams)


def _cautious(inner: Optimizer, _: object) -> Optimizer:
    return cautious(inner)


def _decay(inner: Optimizer, lr: Scalar | LrSchedule, *, weight_decay: Scalar = 0.1) -> Optimizer:
    return decayed(inner, lr, weight_decay)


def _clip(inner: Optimizer, _: object, *, max_norm: Scalar = 1.0) -> Optimizer:
    return chain(clip_by_global_norm(max_norm), inner)


def _average(inner: Optimizer, _: object, *, ema_decay: Scalar = 0.999) -> Optimizer:
    return ema(inner, ema_decay)


def _accumulate(inner: Optimizer, _: object, *, num_average: Scalar = 2) -> Optimizer:
    return accumulate(inner, num_average)


WRAPPERS: dict[str, Wrapper] = {
    "warmup": _wrapper(warmup_constant, is_schedule=True),
    "linear": _wrapper(warmup_linear, is_schedule=True),
    "cosine": _wrapper(warmup_cosine, is_schedule=True),
    "wsd": _wrapper(warmup_stable_decay, is_schedule=True),
    "sqrt": _wrapper(warmup_sqrt, is_schedule=True, warmup_fraction=POSITIVE_FRACTION),
    "exponential": _wrapper(warmup_exponential, is_schedule=True, final_fraction=POSITIVE_SHARE),
    "cautious": _wrapper(_cautious),
    "wd": _wrapper(_decay),
    "clip": _wrapper(_clip),
    "ema": _wrapper(_average),
    "accum": _wrapper(_accumulate),
}
"""The wrappers by name: learning-rate schedules, of which an optimizer has one at most, then the others.

Each wraps those before it.
"""


def split_wrapped(name: str) -> list[str]:
    """Split an optimizer's name into the name without wrappers, and the wrappers.

    Example:
        >>> split_wrapped("path+to/my.py:Mine+cosine+clip")
        ['path+to/my.py:Mine', 'cosine', 'clip']
    """
    path, colon, rest = name.rpartition(":")
    first, *wrappers = rest.split("+")
    return [path + colon + first, *wrappers]


def wrapped_row(name: str, inner: str, row: OptimizerRow, wrappers: Sequence[str]) -> OptimizerRow:
    """Return the row of an optimizer in wrappers.

    Args:
        name: The whole name, for messages.
        inner: The name without wrappers.
        row: The row of that name, one of pure functions.
        wrappers: Names of wrappers, at least one.

    Raises:
        UnknownNameError: There is no such wrapper.
        HParamError: They do not fit the optimizer, or each other.
    """
    check_together(name, inner, wrappers)
    _check_fit(inner, row, wrappers)
    around = [WRAPPERS[wrapper] for wrapper in wrappers]
    around_own = {key: hparam for wrapper in around for key, hparam in wrapper.hparams.items()}
    hparams = {**row.hparams, **around_own}

    def factory(**given: Any) -> Optimizer:  # noqa: ANN401 - what a row's `prepare` makes
        own = {key: value for key, value in given.items() if key not in around_own}
        if any(wrapper.needs_lr for wrapper in around):
            own.setdefault("lr", row.hparams["lr"].default)
        for wrapper in around:
            if wrapper.is_schedule:
                own["lr"] = wrapper.wrap(own["lr"], **_of(wrapper, given))
        opt = row.factory(**own)
        for wrapper in around:
            if not wrapper.is_schedule:
                opt = wrapper.wrap(opt, own.get("lr"), **_of(wrapper, given))
        return opt

    def check(name: str, given: Mapping[str, HparamValue]) -> None:
        check_all(hparams, dict, name, given)
        row.check(inner, {key: given[key] for key in row.hparams if key in given})
        if "cautious" in wrappers and "theta" not in row.hparams:
            factory(**given)  # raises if it does not fit

    def flops(*args: Any, **given: Any) -> int:  # noqa: ANN401 - as the row's
        return row.flops(*args, **{key: value for key, value in given.items() if key not in around_own})

    return row._replace(factory=factory, check=check, hparams=hparams, lr_grids=(), flops=flops)


def _of(wrapper: Wrapper, given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: given[key] for key in wrapper.hparams if key in given}


def check_together(name: str, inner: str, wrappers: Sequence[str]) -> None:
    """Refuse unknown wrappers, one twice, two schedules, and another order than the table's.

    Args:
        name: The whole name, for messages.
        inner: The name without wrappers.
        wrappers: Names of wrappers.

    Raises:
        UnknownNameError: There is no such wrapper.
        HParamError: They do not fit each other.
    """
    for wrapper in wrappers:
        if wrapper not in WRAPPERS:
            raise UnknownNameError(f"wrapper of `{name}`:", wrapper, WRAPPERS)
    order = [wrapper for wrapper in WRAPPERS if wrapper in wrappers]
    schedules = [wrapper for wrapper in wrappers if WRAPPERS[wrapper].is_schedule]
    canonical = "+".join([inner, *order])
    if len(set(schedules)) > 1:
        raise HParamError(
            f"`{name}` has several learning-rate schedules, {' and '.join(schedules)}: keep one of them; "
            "each begins with a warm-up, whose length is `warmup_fraction`"
        )
    if order != list(wrappers):
        raise HParamError(
            f"each wrapper of `{name}` is written once, in the order in which they wrap: write `{canonical}`"
        )


def _check_fit(inner: str, row: OptimizerRow, wrappers: Sequence[str]) -> None:
    """Refuse wrappers that an optimizer cannot have."""
    if "num_average" in row.hparams:
        raise HParamError(
            f"`{inner}` accumulates gradients itself and cannot be wrapped: wrap the optimizer inside, with "
            "`+accum` as the last wrapper"
        )
    for wrapper in wrappers:
        if both := row.hparams.keys() & WRAPPERS[wrapper].hparams.keys():
            raise HParamError(f"`{inner}` has `{min(both)}` of its own: leave out `+{wrapper}`")
        if WRAPPERS[wrapper].needs_lr and not row.is_schedulable:
            raise HParamError(
                f"`{inner}` takes no learning-rate schedule, which `+{wrapper}` needs: leave it out, or "
                "annotate its factory's argument `lr: Scalar | LrSchedule` if it is your own and takes one"
            )
