"""Marks on functions that `torch.compile` must not look into; they are set when it is first used.

Setting a mark imports the compiler, which takes as long as importing torch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch

_Fn = TypeVar("_Fn", bound=Callable[..., Any])

_constant: list[Callable[..., Any]] = []
_opaque: list[Callable[..., Any]] = []


def constant(fn: _Fn) -> _Fn:
    """Mark `fn`: compiled code holds its result as a constant and does not call it again."""
    _constant.append(fn)
    return fn


def opaque(fn: _Fn) -> _Fn:
    """Mark `fn`: compiled code calls it as it stands; its inputs and outputs must be tensors."""
    _opaque.append(fn)
    return fn


@functools.cache
def put_marks() -> None:
    """Tell the compiler about all marks, once."""
    for fn in _constant:
        torch.compiler.assume_constant_result(fn)  # type: ignore[no-untyped-call]
    for fn in _opaque:
        torch.compiler.allow_in_graph(fn)  # type: ignore[no-untyped-call]
