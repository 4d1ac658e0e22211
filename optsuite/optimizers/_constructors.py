"""Arguments that the constructors of optimizer classes take."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterable, Iterator

import torch


def constructors(cls: type[torch.optim.Optimizer]) -> Iterator[list[inspect.Parameter]]:
    """Yield the parameters of a class's constructor, and of those that it hands unknown keywords on to."""
    for base in own_bases(cls):
        if "__init__" in vars(base):
            parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())
            yield parameters
            if not takes_keywords(parameters):
                break


def takes_keywords(parameters: Iterable[inspect.Parameter]) -> bool:
    """Tell whether a function with these parameters takes any keywords."""
    return any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters)


def own_bases(cls: type[torch.optim.Optimizer]) -> list[type]:
    """List a class and its bases up to torch's `Optimizer`."""
    return list(itertools.takewhile(lambda base: base is not torch.optim.Optimizer, cls.__mro__))
