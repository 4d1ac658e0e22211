"""State that all objects of a class share: attributes of the class, globals of its module."""

from __future__ import annotations

import hashlib
import inspect
import itertools
import random
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from types import FunctionType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

# Deeper things are taken for constants, and so are larger tensors and arrays.
_DEPTH, _SIZE = 4, 1_000_000


def shared_state(cls: type) -> dict[str, str]:
    """Describe all plain data that objects of a class share, by name; equal descriptions mean equal data.

    Args:
        cls: The class. Those of its bases that are torch's are left out.

    Example:
        >>> class Counting(torch.optim.SGD):
        ...     count = 0
        >>> before = shared_state(Counting)
        >>> Counting.count += 1
        >>> {name for name, value in shared_state(Counting).items() if value != before[name]}
        {'Counting.count'}
    """
    found: dict[str, str] = {}
    bases = [base for base in cls.__mro__ if base is not object and not _is_of_torch(base.__module__)]
    for base in bases:
        found.update(_described(_public(vars(base)), base.__name__, base.__module__))
    for name in dict.fromkeys(base.__module__ for base in bases):
        module = sys.modules.get(name)
        if module is not None:
            found.update(_described(_public(vars(module)), "", name))
    return found


def _is_of_torch(module: str) -> bool:
    return module.partition(".")[0] == "torch"


def _public(names: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in names.items() if not name.startswith("__")}


def _described(value: Any, path: str, module: str, depth: int = 0) -> Iterator[tuple[str, str]]:  # noqa: ANN401
    """Yield what can change in a value, as its place and a text."""
    if isinstance(value, bool | int | float | complex | str | bytes | None):
        yield path, repr(value)
    elif isinstance(value, Tensor | np.ndarray):
        yield path, _digest(value)
    elif (state := _state_of_generator(value)) is not None:
        yield path, hashlib.sha256(repr(state).encode()).hexdigest()
    elif depth < _DEPTH:
        children = _children(value, module)
        if children is not None:
            yield path, f"{type(value).__name__} of {len(children)}" * (depth > 0)
            for key, child in children.items():
                yield from _described(child, f"{path}.{key}".lstrip("."), module, depth + 1)


def _children(value: Any, module: str) -> dict[str, Any] | None:  # noqa: ANN401
    """Return the parts of a value by name; None if it is not understood, or another module's."""
    if isinstance(value, dict):
        return {str(key): child for key, child in value.items()}
    if isinstance(value, list | tuple | deque):
        return {str(number): child for number, child in enumerate(value)}
    if isinstance(value, set | frozenset):
        return dict.fromkeys(sorted(map(str, value)))
    if isinstance(value, FunctionType) and value.__module__ == module:
        value = inspect.unwrap(value)  # torch wraps `step`
        return {"defaults": value.__defaults__, "keywords": value.__kwdefaults__, **_public(vars(value))}
    owner = value if isinstance(value, type) else type(value)
    if owner is SimpleNamespace or owner.__module__ == module:
        return _public(getattr(value, "__dict__", {}))
    return None


def _state_of_generator(value: object) -> object:
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, np.random.Generator):
        return value.bit_generator.state
    if isinstance(value, np.random.RandomState):
        return [np.asarray(part).tolist() for part in value.get_state(legacy=True)]
    if isinstance(value, torch.Generator):
        return value.get_state().tolist()
    if isinstance(value, itertools.count | itertools.cycle):
        return repr(value)
    return None


def _digest(value: Tensor | np.ndarray[Any, Any]) -> str:
    size = value.numel() if isinstance(value, Tensor) else value.size
    if size > _SIZE:
        return ""
    if isinstance(value, Tensor):
        value = value.detach().reshape(-1).contiguous().cpu().view(torch.uint8).numpy()
    return hashlib.sha256(value.tobytes()).hexdigest()
