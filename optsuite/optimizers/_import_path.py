"""Imports classes of `torch.optim.Optimizer` by path, e.g. `torch.optim:NAdam`, `path/to/my.py:Mine`."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeGuard
from weakref import WeakKeyDictionary

import torch

from optsuite._code import Code, code_of_class
from optsuite.errors import HParamError, hint, in_words
from optsuite.optimizers._constructors import constructors, own_bases, takes_keywords
from optsuite.optimizers._import_file import import_file
from optsuite.optimizers._wrapped_class import wrapped_class
from optsuite.optimizers._wrappers import split_wrapped


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
            What lies beside the file can be imported by it, and relatively too. Names of `WRAPPERS` may
            follow, e.g. `torch.optim:NAdam+cosine+clip`.

    Raises:
        HParamError: The path cannot be imported, or leads to no subclass of `torch.optim.Optimizer`.

    Example:
        >>> import_optimizer("torch.optim:NAdam") is torch.optim.NAdam
        True
    """
    found, wrappers = _imported(path)
    return wrapped_class(found, wrappers) if wrappers else found


def code_of_import_path(path: str) -> str:
    """Return what stands for the code of a class as this process imported it, 16 hexadecimal characters.

    It covers the text of its file and of what that imports from files that belong to no installed package,
    the same of its bases, and the versions of installed packages that it or a base is of.

    Args:
        path: As for `import_optimizer`.

    Raises:
        HParamError: As for `import_optimizer`.

    Warns:
        RuntimeWarning: A file was edited since it was imported, or there is no text of the class.

    Example:
        >>> code_of_import_path("torch.optim:NAdam") == code_of_import_path("torch.optim:Adam+clip")
        True
    """
    code = _CODE[_imported(path)[0]]
    if edited := code.edited():
        warnings.warn(
            f"`{edited}` was edited since `{path}` was imported: this process goes on with what it imported, "
            "and takes curves of that for its own; start it anew to train what the file says now",
            RuntimeWarning,
            stacklevel=2,
        )
    return code.digest


_CODE: WeakKeyDictionary[Any, Code] = WeakKeyDictionary()
"""The code of each class as it was when the class was first looked at."""


def _imported(path: str) -> tuple[type[torch.optim.Optimizer], tuple[str, ...]]:
    """Return a class and the names of its wrappers."""
    path, *wrappers = split_wrapped(path)
    source, _, name = path.rpartition(":")
    try:
        module = import_file(Path(source)) if source.endswith(".py") else importlib.import_module(source)
    except (Exception, SystemExit) as error:  # a script may read its own command line
        raise HParamError(f"`{path}`: cannot import `{source}` ({in_words(error)})") from error
    found = getattr(module, name, None)
    if _is_optimizer(found):
        if found not in _CODE:
            _CODE[found] = code_of_class(own_bases(found), module, path)
        return found, tuple(wrappers)
    valid = [key for key, value in vars(module).items() if _is_optimizer(value)]
    what = "is no subclass of torch.optim.Optimizer" if hasattr(module, name) else "does not exist"
    where = hint(name, valid) if valid else f"there is none in `{source}`"
    if inspect.isroutine(found) or isinstance(found, functools.partial):
        where += f"; `{name}` is a function: name a class, which may call it in its own constructor"
    raise HParamError(f"`{path}` {what}: {where}")


def _is_optimizer(value: object) -> TypeGuard[type[torch.optim.Optimizer]]:
    base = torch.optim.Optimizer
    return isinstance(value, type) and issubclass(value, base) and value is not base


def check_argument_names(path: str, hparams: Mapping[str, Any]) -> None:
    """Check that the constructor of a class knows some arguments.

    Args:
        path: As for `import_optimizer`.
        hparams: Arguments besides the parameters.

    Raises:
        HParamError: The class cannot be imported, or has no such argument.
    """
    cls = import_optimizer(path)
    known = list(_argument_defaults(cls))
    for key in hparams:
        if key not in known and not _may_know(cls, key, known):
            takes = ", ".join(known) or "nothing but the parameters"
            raise HParamError(f"`{path}` has no argument `{key}`: it takes {takes}")


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
    horizon = {"num_steps": num_updates} if "num_steps" in _argument_defaults(cls) else {}
    return {**horizon, **hparams}


def takes_argument(path: str, name: str) -> bool:
    """Whether the constructor of a class takes an argument.

    Args:
        path: As for `import_optimizer`.
        name: The argument's.

    Raises:
        HParamError: The path cannot be imported.

    Example:
        >>> takes_argument("torch.optim:NAdam", "weight_decay")
        True
    """
    return name in argument_defaults(path)


def argument_defaults(path: str) -> dict[str, Any]:
    """Return the arguments that the constructor of a class takes, each with its default.

    Args:
        path: As for `import_optimizer`.

    Returns:
        The default of each argument but the parameters, those that are handed on to bases included;
        `inspect.Parameter.empty` for one that must be given.

    Raises:
        HParamError: The path cannot be imported.

    Example:
        >>> argument_defaults("torch.optim:NAdam")["lr"]
        0.002
    """
    return _argument_defaults(import_optimizer(path))


def _argument_defaults(cls: type[torch.optim.Optimizer]) -> dict[str, Any]:
    defaults: dict[str, Any] = {}
    for parameters in constructors(cls):
        for p in parameters[2:]:  # after the object itself and what it optimizes
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY):
                defaults.setdefault(p.name, p.default)
    defaults.pop("defaults", None)  # what a class passes to torch's own constructor
    return defaults


def _may_know(cls: type[torch.optim.Optimizer], key: str, known: Sequence[str]) -> bool:
    """Tell whether a constructor of any keywords may do something with one that it does not name.

    If it names none, nothing can be said. Otherwise its class has the keyword somewhere in its code: many
    swallow what they do not know, and so a typing error.
    """
    if key in ("self", "params", "defaults") or not all(map(takes_keywords, constructors(cls))):
        return False
    functions = (value for base in own_bases(cls) for value in vars(base).values())
    codes = [f.__code__ for f in map(inspect.unwrap, filter(inspect.isfunction, functions))]
    return not known or any(key in (*code.co_consts, *code.co_names) for code in codes)


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
            quotes, and tuples of these as values. The module may be a file whose path has colons, brackets
            and spaces.

    Raises:
        HParamError: The text has not that form.

    Example:
        >>> parse_call("torch.optim:SGD(momentum=0.9)")
        ('torch.optim:SGD', {'momentum': 0.9})
    """
    try:
        path, values = parse_optimizer(text)
    except HParamError:
        path, values = "", {}
    inner, *wrappers = split_wrapped(path)
    if not is_import_path(path):
        raise HParamError(f"an optimizer is MODULE:CLASS or MODULE:CLASS(ARGUMENT=VALUE, ...) (got `{text}`)")
    if wrappers:
        name = "_".join([f"{inner.rpartition(':')[2]}LR", *wrappers, "2000_R2"])
        raise HParamError(f"wrappers stand in the set's name, such as `{name}`, or in a grid (got `{text}`)")
    return path, values


def parse_optimizer(text: str) -> tuple[str, dict[str, Any]]:
    """Split the name of any optimizer from the hyperparameters after it.

    Args:
        text: `NAME` or `NAME(HPARAM=VALUE, ...)`, with a name as for `get_row` and values as for
            `parse_call`.

    Raises:
        HParamError: The text has not that form.

    Example:
        >>> parse_optimizer("Adam+clip(lr=0.1)"), parse_optimizer("torch.optim:NAdam+clip")
        (('Adam+clip', {'lr': 0.1}), ('torch.optim:NAdam+clip', {}))
    """
    # A path may have any of the characters of a call.
    for start in (0, *(colon.end() for colon in re.finditer(":", text))):
        called = re.fullmatch(r"(\w+(?:\+\w+)*)(\(.*\))?", text[start:], re.DOTALL)
        if called and (values := _keywords(called[2] or "()")) is not None:
            return text[:start] + called[1], values
    raise HParamError(
        "an optimizer is NAME or NAME(HPARAM=VALUE, ...), where NAME is one of the table such as Adam+clip, "
        f"or MODULE:CLASS (got `{text}`)"
    )


def _keywords(text: str) -> dict[str, Any] | None:
    """Read the arguments of a call, `(ARGUMENT=VALUE, ...)`; None if it has another form."""
    with suppress(*_UNREADABLE):
        match ast.parse(f"optimizer{text}", mode="eval").body:
            case ast.Call(func=ast.Name(), args=[], keywords=keywords):
                values = {str(k.arg): _literal(k.value) for k in keywords}
                if len(values) == len(keywords) and "None" not in values:
                    return values
    return None


def parse_value(text: str) -> Any:  # noqa: ANN401 - any literal
    """Read a Python literal, in which `inf` and `nan` are numbers.

    Raises:
        HParamError: The text is none.

    Example:
        >>> parse_value("(0.9, -inf)")
        (0.9, -inf)
    """
    try:
        return _literal(ast.parse(text.strip(), mode="eval").body)
    except _UNREADABLE as error:
        raise HParamError(f"`{text}` is no number, bool, word in quotes or tuple of these") from error


class _Numbers(ast.NodeTransformer):
    """Puts numbers in the place of their names."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(float(node.id)) if node.id in ("inf", "nan") else node


def _literal(node: ast.expr) -> Any:  # noqa: ANN401 - any literal
    return ast.literal_eval(_Numbers().visit(node))


# What ast raises for texts that are no literals, or too deep for it.
_UNREADABLE = (SyntaxError, ValueError, TypeError, MemoryError, RecursionError)
