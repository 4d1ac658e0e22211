"""Imports classes of `torch.optim.Optimizer` by path, e.g. `torch.optim:NAdam`, `path/to/my.py:Mine`."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
import sys
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard

import torch
from torch import Tensor

from optsuite.errors import HParamError, hint, in_words
from optsuite.optimizers._wrapped_class import wrapped_class
from optsuite.optimizers._wrappers import split_wrapped

# Number of updates for which a class is tried out, if it asks for it.
_SOME_UPDATES = 100


def is_import_path(name: str) -> bool:
    """Whether an optimizer's name is an import path and no row of the table.

    Example:
        >>> is_import_path("torch.optim:NAdam"), is_import_path("Adam")
        (True, False)
    """
    return ":" in name


def import_optimizer(path: str) -> type[torch.optim.Optimizer]:
    """Import an optimizer class.

    Args:
        path: `MODULE:CLASS`, where the module is a dotted name, or a .py file relative to the current folder.
            Names of `WRAPPERS` may follow, e.g. `torch.optim:NAdam+cosine+clip`.

    Raises:
        HParamError: The path cannot be imported, or leads to no subclass of `torch.optim.Optimizer`.

    Example:
        >>> import_optimizer("torch.optim:NAdam") is torch.optim.NAdam
        True
    """
    path, *wrappers = split_wrapped(path)
    source, _, name = path.rpartition(":")
    try:
        module = _import_file(Path(source)) if source.endswith(".py") else importlib.import_module(source)
    except (Exception, SystemExit) as error:  # a script may read its own command line
        raise HParamError(f"`{path}`: cannot import `{source}` ({in_words(error)})") from error
    found = getattr(module, name, None)
    if _is_optimizer(found):
        return wrapped_class(found, tuple(wrappers)) if wrappers else found
    valid = [key for key, value in vars(module).items() if _is_optimizer(value)]
    what = "is no subclass of torch.optim.Optimizer" if hasattr(module, name) else "does not exist"
    where = hint(name, valid) if valid else f"there is none in `{source}`"
    raise HParamError(f"`{path}` {what}: {where}")


def _is_optimizer(value: object) -> TypeGuard[type[torch.optim.Optimizer]]:
    base = torch.optim.Optimizer
    return isinstance(value, type) and issubclass(value, base) and value is not base


def _import_file(path: Path) -> ModuleType:
    """Import a file once per process, under a name that no other file has."""
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:10]
    name = f"{path.stem}_{digest}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(sys.modules[name])
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def check_arguments(path: str, hparams: Mapping[str, Any]) -> None:
    """Check that a class can be made with some arguments, and steps without a closure.

    It may ask for the loss, a detached 0-d tensor, and the number of updates, as `takes_loss` and
    `constructor_arguments` say.

    Args:
        path: As for `import_optimizer`.
        hparams: Arguments of the constructor, besides the parameters.

    Raises:
        HParamError: The class cannot be imported, made or stepped.
    """
    cls = import_optimizer(path)
    known = _argument_names(cls)
    for key in hparams:
        if key not in known:
            takes = ", ".join(known) or "nothing but the parameters"
            raise HParamError(f"`{path}` has no argument `{key}`: it takes {takes}")
    _try_out(path, cls, hparams)


def constructor_arguments(
    cls: type[torch.optim.Optimizer], hparams: Mapping[str, Any], num_updates: int
) -> dict[str, Any]:
    """Give what a constructor is to get besides the parameters.

    Args:
        cls: The class.
        hparams: What a config gives.
        num_updates: Number of updates that a trial makes, one more than the steps of its schedule. It is
            given to an argument `num_steps`, as learned optimizers and schedules have it, unless `hparams`
            has one.

    Example:
        >>> constructor_arguments(torch.optim.SGD, {"lr": 0.1}, 1001)
        {'lr': 0.1}
        >>> class Decaying(torch.optim.SGD):
        ...     def __init__(self, params, lr, num_steps): ...
        >>> constructor_arguments(Decaying, {"lr": 0.1}, 1001)
        {'num_steps': 1001, 'lr': 0.1}
    """
    horizon = {"num_steps": num_updates} if "num_steps" in _argument_names(cls) else {}
    return {**horizon, **hparams}


def _argument_names(cls: type[torch.optim.Optimizer]) -> list[str]:
    """List what a constructor takes after the parameters, with what it hands on to its bases."""
    names: dict[str, None] = {}
    for base in cls.__mro__:
        if base is torch.optim.Optimizer:
            break
        if "__init__" in vars(base):
            parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())
            kinds = {parameter.kind for parameter in parameters}
            others = parameters[2:]  # after the object itself and what it optimizes
            named = (p.name for p in others if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
            names.update(dict.fromkeys(named))
            if inspect.Parameter.VAR_KEYWORD not in kinds:
                break
    names.pop("defaults", None)  # what a class passes to torch's own constructor
    return list(names)


def takes_loss(cls: type[torch.optim.Optimizer]) -> bool:
    """Whether `step` has an argument called `loss`, its own or a base's that it hands keywords on to.

    Example:
        >>> takes_loss(torch.optim.SGD)
        False
        >>> class Clipping(torch.optim.SGD):
        ...     def step(self, loss, closure=None): ...
        >>> takes_loss(Clipping)
        True
    """
    for base in cls.__mro__:
        if "step" in vars(base):
            parameters = inspect.signature(vars(base)["step"]).parameters  # those that a decorator has kept
            if "loss" in parameters:
                return parameters["loss"].kind != inspect.Parameter.POSITIONAL_ONLY
            if inspect.Parameter.VAR_KEYWORD not in {parameter.kind for parameter in parameters.values()}:
                break
    return False


@torch.no_grad()
def _try_out(path: str, cls: type[torch.optim.Optimizer], hparams: Mapping[str, Any]) -> None:
    """Make one for a matrix of 2 x 2, and let it take a step."""
    given = constructor_arguments(cls, hparams, _SOME_UPDATES)
    words = ", ".join(f"{key}={value!r}" for key, value in given.items()) or "its defaults"
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # they belong to the training
        try:
            optimizer = cls([_matrix()], **given)
        except Exception as error:
            raise HParamError(f"`{path}` cannot be made with {words} ({in_words(error)})") from error
        try:
            _step(optimizer, torch.tensor(2.0))
        except Exception as error:
            if takes_loss(cls) and _can_step_by_another_loss(cls, given):
                raise HParamError(
                    f"`{path}` cannot step by the loss that it is given ({in_words(error)}): `loss` is a "
                    "detached 0-d tensor, so take gradients from parameters, and a number by `loss.item()`"
                ) from error
            # What else it may not like of so small a matrix is no reason to refuse it.
            needs_closure = "closure" in str(error) or "'NoneType' object is not callable" in str(error)
            if needs_closure or isinstance(error, TypeError):
                without = " without a closure that computes the loss" if needs_closure else ""
                raise HParamError(
                    f"`{path}` cannot step{without} ({in_words(error)}): such optimizers cannot be used here"
                ) from error


def _matrix() -> torch.nn.Parameter:
    param = torch.nn.Parameter(torch.tensor([[1.0, -2.0], [0.5, 3.0]]))
    param.grad = torch.tensor([[0.1, 0.3], [-0.2, 0.4]])
    return param


def _step(optimizer: torch.optim.Optimizer, loss: Tensor | float) -> None:
    set_training(optimizer, is_training=True)
    step: Any = optimizer.step
    step(**({"loss": loss} if takes_loss(type(optimizer)) else {}))


def _can_step_by_another_loss(cls: type[torch.optim.Optimizer], given: Mapping[str, Any]) -> bool:
    """Tell whether an object takes a step by a float, or by a loss that knows its parameters."""
    for is_float in (True, False):
        param = _matrix()
        with torch.enable_grad():
            loss = 2.0 if is_float else param.square().sum()
        with suppress(Exception):
            _step(cls([param], **given), loss)
            return True
    return False


def set_training(optimizer: torch.optim.Optimizer, *, is_training: bool) -> None:
    """Switch an optimizer between training and evaluation, if it has parameters of its own for either.

    Example:
        >>> sgd = torch.optim.SGD([torch.zeros(2)])
        >>> set_training(sgd, is_training=False)  # does nothing; ScheduleFreeAdamW and the like have modes
    """
    switch = getattr(optimizer, "train" if is_training else "eval", None)
    if switch is not None:
        switch()


def parse_call(text: str) -> tuple[str, dict[str, Any]]:
    """Split an import path from the arguments after it.

    Args:
        text: The call, `MODULE:CLASS` or `MODULE:CLASS(ARGUMENT=VALUE, ...)`, with numbers, bools, words in
            quotes, and tuples of these as values.

    Raises:
        HParamError: The text has not that form.

    Example:
        >>> parse_call("torch.optim:SGD(momentum=0.9)")
        ('torch.optim:SGD', {'momentum': 0.9})
    """
    path, bracket, arguments = text.partition("(")
    try:
        match ast.parse(f"call{bracket or '()'}{arguments}", mode="eval").body:
            case ast.Call(func=ast.Name(), args=[], keywords=keywords) if is_import_path(path):
                values = {str(k.arg): ast.literal_eval(k.value) for k in keywords}
                if len(values) == len(keywords):
                    return path, values
        raise ValueError("no path, or no call with arguments that each have a name of their own")
    except (SyntaxError, ValueError) as error:
        raise HParamError(
            f"an optimizer is MODULE:CLASS or MODULE:CLASS(ARGUMENT=VALUE, ...) (got `{text}`)"
        ) from error
