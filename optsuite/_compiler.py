"""Marks on functions that `torch.compile` must not look into, put when it is first used.

Putting one imports the compiler, which takes as long as importing torch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch

__all__ = ["constant", "opaque", "put_marks"]

_Fn = TypeVar("_Fn", bound=Callable[..., Any])

_constant: list[Callable[..., Any]] = []
_opaque: list[Callable[..., Any]] = []


def constant(fn: _Fn) -> _Fn:
    """Have compiled code hold what `fn` gives, instead of calling it."""
    _constant.append(fn)
    return fn


def opaque(fn: _Fn) -> _Fn:
    """Have compiled code call `fn`, whose inputs and outputs are tensors, as it stands."""
    _opaque.append(fn)
    return fn


@functools.cache
def put_marks() -> None:
    """Tell the compiler of all of them."""
    for fn in _constant:
        torch.compiler.assume_constant_result(fn)  # type: ignore[no-untyped-call]
    for fn in _opaque:
        torch.compiler.allow_in_graph(fn)  # type: ignore[no-untyped-call]
