"""Heavy-ball momentum, shared by several optimizers."""

from __future__ import annotations

from typing import NamedTuple

import torch

from optsuite._types import Params
from optsuite.optimizers._base import Optimizer, Scalar, add_scaled, piece
from optsuite.tree import tree_map


class TraceState(NamedTuple):
    """State of `trace`."""

    trace: Params  # decayed sum of the inputs, shaped like params


def trace(momentum: Scalar, *, nesterov: bool = False) -> Optimizer:
    """Replace the input g by the decayed sum of all inputs: b = g + momentum b.

    Args:
        momentum: In [0, 1). With 0 it passes on g, and still keeps b.
        nesterov: Whether to pass on g + momentum b, with the new b. It decides which operations run, so it
            is a Python bool, the same for all trials.

    Source: optax, `transforms/_accumulation.py: trace`. It is a sum, so there is no factor (1 - momentum).

    Example:
        >>> opt = trace(0.5)
        >>> grads = {"weight": torch.ones(1)}
        >>> state = opt.init(grads)
        >>> for _ in range(3):
        ...     updates, state = opt.update(grads, state, grads)
        >>> updates["weight"]
        tensor([1.7500])
    """

    def init(params: Params) -> TraceState:
        return TraceState(tree_map(torch.zeros_like, params))

    def update(grads: Params, state: TraceState, _: Params) -> tuple[Params, TraceState]:
        new = tree_map(lambda g, b: add_scaled(g, b, momentum), grads, state.trace)
        updates = tree_map(lambda g, b: add_scaled(g, b, momentum), grads, new) if nesterov else new
        return updates, TraceState(new)

    return piece(init, update)
