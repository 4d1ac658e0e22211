"""Wrappers around classes of `torch.optim.Optimizer`: subclasses that do more around a step."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from optsuite.errors import HParamError
from optsuite.optimizers._cautious import NEEDS_NO_OTHERS, downhill
from optsuite.optimizers._constructors import constructors
from optsuite.optimizers._wrappers import WRAPPERS, check_together


def wrapped_class(cls: type[torch.optim.Optimizer], wrappers: tuple[str, ...]) -> type[torch.optim.Optimizer]:
    """Make the subclass of an optimizer class that runs it in wrappers.

    Its constructor takes the wrappers' hyperparameters and `num_steps`, the number of calls of `step` in the
    run, besides what the class takes. A schedule sets the `lr` of every parameter group before each step, as
    torch's do.

    Args:
        cls: The class.
        wrappers: Names of `WRAPPERS`.

    Raises:
        UnknownNameError: There is no such wrapper.
        HParamError: The wrappers do not fit each other.
    """
    make: Any = _wrapped_class  # mypy takes types of optimizers for unhashable
    return make(cls, wrappers)  # type: ignore[no-any-return]


@functools.cache  # a class has one subclass of a kind
def _wrapped_class(
    cls: type[torch.optim.Optimizer], wrappers: tuple[str, ...]
) -> type[torch.optim.Optimizer]:
    check_together("+".join([cls.__name__, *wrappers]), cls.__name__, wrappers)
    if "cautious" in wrappers and hasattr(cls, "eval"):
        raise HParamError(NEEDS_NO_OTHERS)
    bases: tuple[type, ...] = (_WithAverage, _Wrapped, cls) if "ema" in wrappers else (_Wrapped, cls)
    name = "+".join([cls.__name__, *wrappers])
    # The hooks of a step are the class's own: torch puts them around it when the class is first made.
    inner = cls.step if getattr(cls.step, "hooked", False) else cls.profile_hook_step(cls.step)
    made = {
        "_around_wrappers": wrappers,
        "_around_inner": staticmethod(inner),
        "__init__": _constructor(name, cls, wrappers),
    }
    return type(name, bases, made)


def _constructor(name: str, cls: type[torch.optim.Optimizer], wrappers: Sequence[str]) -> Callable[..., None]:
    """Make an `__init__` whose signature names the hyperparameters of wrappers."""
    defaults = {
        key: hparam.default for wrapper in wrappers for key, hparam in WRAPPERS[wrapper].hparams.items()
    }
    taken = {parameter.name for parameters in constructors(cls) for parameter in parameters}
    if both := defaults.keys() & taken:
        raise HParamError(
            f"`{cls.__name__}` has `{min(both)}` of its own: leave out the wrapper in `{name}` "
            "that has it too"
        )

    def init(self: Any, params: Any, *, num_steps: int, **hparams: Any) -> None:  # noqa: ANN401 - of any class
        own = {key: hparams.pop(key, default) for key, default in defaults.items()}
        make: Any = cls.__init__
        takes_num_steps = "num_steps" in inspect.signature(make).parameters
        make(self, params, **hparams, **({"num_steps": num_steps} if takes_num_steps else {}))
        self._around_start(own, num_steps)

    parameters = list(inspect.signature(init).parameters.values())
    named = [inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=d) for key, d in defaults.items()]
    init.__signature__ = inspect.Signature([*parameters[:-1], *named, parameters[-1]])  # type: ignore[attr-defined]
    return init


class _Wrapped:
    """The steps of a wrapped class; those of the class itself are `_around_inner`.

    All that it has is called `_around_...`, which no class calls its own.
    """

    param_groups: list[dict[str, Any]]
    _around_wrappers: tuple[str, ...]
    _around_inner: Callable[..., Any]

    def _around_start(self, own: dict[str, Any], num_steps: int) -> None:
        """Take the wrappers' hyperparameters, and the learning rates that schedules begin from."""
        self._around_own = own
        self._around_num_updates = num_steps
        self._around_num_summed, self._around_num_made = 0, 0
        self._around_sums: list[Tensor | None] = []
        self._around_average: list[Tensor] = []
        self._around_trained: list[Tensor] = []  # while the average is in their place
        if any(WRAPPERS[wrapper].needs_lr for wrapper in self._around_wrappers):
            missing = [group for group in self.param_groups if "lr" not in group]
            if missing:
                raise HParamError(f"`{type(self).__name__}` needs an `lr` in every parameter group")
        self._around_rates: list[Any] = [group.get("lr") for group in self.param_groups]

    def _around_params(self) -> list[Tensor]:
        return [param for group in self.param_groups for param in group["params"]]

    @torch.no_grad()
    def step(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the class's
        """Take a step by the gradients, or add them to those of the next step."""
        if "accum" in self._around_wrappers and not self._around_accumulate(kwargs):
            return None
        if "clip" in self._around_wrappers:
            self._around_clip()
        self._around_set_rates()
        decays = "wd" in self._around_wrappers
        is_cautious = "cautious" in self._around_wrappers
        before = [param.clone() for param in self._around_params()] if decays or is_cautious else []
        grads = [p.grad.clone() if p.grad is not None else None for p in self._around_params() if is_cautious]
        with torch.enable_grad():
            result = self._around_inner(self, *args, **kwargs)
        if is_cautious:
            self._around_hold(before, grads)
        if decays:
            self._around_decay(before)
        self._around_num_made += 1
        self._around_after_step()
        return result

    step.hooked = True  # type: ignore[attr-defined]  # so that torch runs no hooks around it too

    def _around_after_step(self) -> None:
        pass

    def _around_accumulate(self, kwargs: dict[str, Any]) -> bool:
        """Add gradients and loss to the sums; put the means in their place when enough have come."""
        new = [*(param.grad for param in self._around_params()), kwargs.get("loss")]
        old = self._around_sums or [None] * len(new)
        self._around_sums = [
            total if grad is None else grad.clone() if total is None else total + grad
            for total, grad in zip(old, new, strict=True)
        ]
        self._around_num_summed += 1
        number = self._around_own["num_average"]
        if self._around_num_summed < number:
            return False
        *grads, loss = (None if total is None else total / number for total in self._around_sums)
        for param, grad in zip(self._around_params(), grads, strict=True):
            param.grad = grad
        if loss is not None:
            kwargs["loss"] = loss
        self._around_sums, self._around_num_summed = [], 0
        return True

    def _around_clip(self) -> None:
        """Shrink all gradients together, as `clip_grad_norm_` does."""
        having = [(param, param.grad) for param in self._around_params() if param.grad is not None]
        if having:
            norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for _, g in having]))
            factor = torch.clamp(self._around_own["max_norm"] / (norm + 1e-6), max=1)
            for param, grad in having:
                param.grad = grad * factor

    def _around_set_rates(self) -> None:
        """Set the learning rates of this step by the progress of the run, if there is a schedule."""
        wrappers = (WRAPPERS[wrapper] for wrapper in self._around_wrappers)
        schedule = next((wrapper for wrapper in wrappers if wrapper.is_schedule), None)
        if schedule is None:
            return
        own = {key: self._around_own[key] for key in schedule.hparams}
        last = (self._around_num_updates - 1) // int(self._around_own.get("num_average", 1))
        progress = torch.tensor(min(self._around_num_made / max(last, 1), 1), dtype=torch.float64)
        factor = float(schedule.wrap(1.0, **own).rate(progress))
        for group, rate in zip(self.param_groups, self._around_rates, strict=True):
            group["lr"] = rate * factor

    def _around_hold(self, before: list[Tensor], grads: list[Tensor | None]) -> None:
        """Take back what does not go downhill."""
        for param, old, grad in zip(self._around_params(), before, grads, strict=True):
            if grad is not None:
                param.copy_(old + downhill(param - old, grad))

    def _around_decay(self, before: list[Tensor]) -> None:
        rates = [group["lr"] for group in self.param_groups for _ in group["params"]]
        for param, old, rate in zip(self._around_params(), before, rates, strict=True):
            param.sub_(old * (rate * self._around_own["weight_decay"]))


class _WithAverage(_Wrapped):
    """A wrapped class that is evaluated at the average of its parameters."""

    def _around_after_step(self) -> None:
        """Bring the average up to date, with what the class itself would have evaluated."""
        switches = hasattr(super(), "eval")
        if switches:
            super().eval()  # type: ignore[misc]
        latest = [param.detach().clone() for param in self._around_params()]
        if switches:
            super().train()  # type: ignore[misc]
        share = 1 - self._around_own["ema_decay"]
        old = self._around_average or latest
        self._around_average = [torch.lerp(mean, new, share) for mean, new in zip(old, latest, strict=True)]

    @torch.no_grad()
    def eval(self) -> None:
        """Put the average in the place of the parameters."""
        if self._around_average and not self._around_trained:
            self._around_trained = [param.clone() for param in self._around_params()]
            for param, mean in zip(self._around_params(), self._around_average, strict=True):
                param.copy_(mean)

    @torch.no_grad()
    def train(self) -> None:
        """Put the parameters back."""
        if self._around_trained:
            for param, own in zip(self._around_params(), self._around_trained, strict=True):
                param.copy_(own)
            self._around_trained = []
        elif hasattr(super(), "train"):
            super().train()  # type: ignore[misc]
