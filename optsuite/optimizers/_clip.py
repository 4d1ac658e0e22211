"""Clipping of gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from optsuite.optimizers._base import Optimizer, Scalar, cast, stateless
from optsuite.tree import tree_map


def clip(limit: Scalar) -> Optimizer:
    """Bring every element into [-limit, limit].

    Args:
        limit: >= 0.

    Source: `learned_optimization/optimizers/base.py: GradientClipOptimizer`, whose limit is 3 by default.

    Example:
        >>> opt = chain(clip(3.0), adam(lr=1e-3))
    """

    def clipped(g: Tensor) -> Tensor:
        bound = g.new_zeros(()) + cast(limit, g)
        return torch.clamp(g, -bound, bound)

    return stateless(lambda grads, _: tree_map(clipped, grads))
